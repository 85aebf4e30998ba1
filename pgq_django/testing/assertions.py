"""What has been enqueued, and whether it is what a test expects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgq_django.arguments import normalized
from pgq_django.compat import is_task
from pgq_django.databases import database_of
from pgq_django.models import Job


def enqueued(target: Any = None, *, using: str | None = None) -> list[Job]:
    """The unfinished jobs of a task (or an entrypoint's name; None for all), in order."""
    jobs = Job.objects.using(using or database_of()).exclude(
        state__in=("succeeded", "failed", "cancelled")
    )
    if target is not None:
        jobs = jobs.filter(entrypoint=target.module_path if is_task(target) else target)
    return list(jobs.order_by("id"))


def assert_enqueued(
    target: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    payload: Any = None,
    queue: str | None = None,
    count: int | None = None,
    using: str | None = None,
) -> Job:
    """Fail unless a job of this task waits, with these arguments where given; returns the first.

    `count`: exactly so many. `count=0`: none, and then nothing is returned.
    """
    waiting = enqueued(target, using=using)
    matching = [job for job in waiting if matches(job, target, args, kwargs, payload, queue)]
    if count is None and matching:
        return matching[0]
    if count is not None and len(matching) == count:
        return matching[0] if matching else Job()
    seen = "\n".join(f"  {job.queue}: {job.entrypoint} {shown(job)}" for job in waiting)
    raise AssertionError(
        f"{len(matching)} matching jobs of {getattr(target, 'module_path', target)} are enqueued, "
        f"expected {'at least one' if count is None else count}; of this task there are:\n"
        f"{seen or '  none'}"
    )


def matches(
    job: Job,
    target: Any,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    payload: Any,
    queue: str | None,
) -> bool:
    """Whether a job is what was asked for."""
    if queue is not None and job.queue != queue:
        return False
    if payload is not None and content(job) != payload:
        return False
    if args is None and kwargs is None:
        return True
    func = target.func if is_task(target) else lambda: None
    stated_args, stated_kwargs = normalized(func, args or (), kwargs or {})
    found = content(job) or {}
    return (args is None or found.get("args") == stated_args) and (
        kwargs is None or found.get("kwargs") == stated_kwargs
    )


def content(job: Job) -> Any:
    """The payload, decoded where it is JSON."""
    raw = bytes(job.payload or b"")
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


def shown(job: Job) -> str:
    """The payload for people."""
    return f"{content(job)!r:.200}"
