"""What has been enqueued."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.models import Job, NewJob, due_of, encode_payload
from pgq_core.tasks import Task

Wanted = str | NewJob | Task[..., Any]
SAME = ("priority", "queue", "unique_key", "concurrency_key", "max_attempts", "timeout")


async def enqueued(pgq: PgQueuer, wanted: Wanted | None = None) -> list[Job]:
    """Committed jobs in the order they were enqueued, finished ones too.

    `wanted`: the name of an entrypoint, a task, or a NewJob (as from `task.job(…)`): then payload
    and every option it gives must agree as well. Headers may hold more than it says.
    """
    found: list[Job] = []
    name = wanted if isinstance(wanted, str) or wanted is None else name_of(wanted)
    page = await pgq.queries.get_jobs(entrypoint=name, limit=1000)
    while page:
        found += page
        page = await pgq.queries.get_jobs(entrypoint=name, limit=1000, before=page[-1].id)
    found.reverse()
    return [job for job in found if not isinstance(wanted, NewJob) or agrees(job, wanted)]


async def assert_enqueued(pgq: PgQueuer, wanted: Wanted, *, count: int | None = None) -> list[Job]:
    """The jobs that `enqueued` finds; fails unless there are `count`, or any when it is None."""
    found = await enqueued(pgq, wanted)
    if (len(found) != count) if count is not None else not found:
        there = "\n".join(f"  {shown(job)}" for job in await enqueued(pgq)) or "  nothing"
        number = "at least one" if count is None else str(count)
        raise AssertionError(
            f"expected {number} of {wanted}, found {len(found)}; there is\n{there}"
        )
    return found


def name_of(wanted: NewJob | Task[..., Any]) -> str:
    """Its entrypoint."""
    return wanted.entrypoint if isinstance(wanted, NewJob) else wanted.name


def agrees(job: Job, wanted: NewJob) -> bool:
    """Whether a job is what was wanted, in everything that the wish says."""
    given = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    return (
        all(given[name] in (None, getattr(job, name)) for name in SAME)
        and (
            wanted.payload is None
            or decoded(encode_payload(wanted.payload)) == decoded(job.payload)
        )
        and (wanted.headers or {}).items() <= job.headers.items()
        and is_due(job, wanted)
    )


def decoded(payload: bytes | None) -> Any:
    """The JSON in a payload; a payload that is none, as it is."""
    try:
        return json.loads(payload or b"null")
    except ValueError:
        return payload


def is_due(job: Job, wanted: NewJob) -> bool:
    """Whether it is due when wanted; a delay counts from when it was enqueued, within a second."""
    moment, delay = due_of(wanted.run_at, wanted.delay)
    if moment is not None:
        return job.run_at == moment
    if delay is None or job.run_at is None:
        return delay is None
    return abs((job.run_at - job.created_at).total_seconds() - delay) < 1


def shown(job: Job) -> str:
    """A job in one line."""
    return f"{job.entrypoint} {job.payload[:200]!r} ({job.state.value}, id {job.id})"
