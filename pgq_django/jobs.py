"""From a task or a name to a NewJob: what travels in a job's row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from pgq_core import NewJob
from pgq_core.errors import InvalidInput
from pgq_django.arguments import Arguments, normalized, shown
from pgq_django.compat import is_task
from pgq_django.priorities import to_pgq
from pgq_django.task import PgqTask, defaults_of, options_of
from pgq_django.task_options import TaskOptions

BACKEND = "backend"  # the header that names the Tasks backend


def job(
    target: Any,
    payload: Any = None,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> NewJob:
    """A job for `enqueue_many`: a task with `args` and `kwargs`, or an entrypoint's name with a
    payload; options as for `enqueue`. Raises InvalidInput before any SQL."""
    if isinstance(args, (str, bytes)):
        raise InvalidInput(f"args={shown(args)}: give a list of arguments, [{shown(args)}] perhaps")
    if is_task(target):
        if payload is not None:
            raise InvalidInput(f"payload={shown(payload)}: a task takes args= and kwargs=")
        target.get_backend().validate_task(target)
        return job_of(target, normalized(target.func, args, kwargs or {}), **options)
    if not isinstance(target, str):
        raise InvalidInput(
            f"{shown(target)} is neither a task (is it decorated with @task?) nor a name"
        )
    if args or kwargs:
        raise InvalidInput(
            f"args={shown(args)}, kwargs={shown(kwargs)}: an entrypoint given by its name takes a "
            "payload"
        )
    return NewJob(target, payload, **options)


def job_of(task: Any, arguments: Arguments, **options: Any) -> NewJob:
    """The job for a task, with the task's own options where the call says nothing."""
    args, kwargs = arguments
    stated = defaults_of(task).merged(options_of(task))
    headers = {**(options.pop("headers", None) or {}), BACKEND: task.backend}
    own: dict[str, Any] = {
        "priority": to_pgq(task.priority),
        "queue": task.queue_name,
        "unique_key": unique_key(stated, arguments),
        "concurrency_key": key_of("concurrency_key", stated.concurrency_key, arguments),
    }
    if isinstance(task, PgqTask):  # a variant's extras differ from what its function states
        own["max_attempts"] = task.max_attempts
        own["timeout"] = TaskOptions(timeout=task.timeout).timeout_seconds
    if not {"delay", "run_at"} & {name for name, value in options.items() if value is not None}:
        own["run_at"] = due(task.run_after)
    own.update((name, value) for name, value in options.items() if value is not None)
    return NewJob(task.module_path, {"args": args, "kwargs": kwargs}, headers=headers, **own)


def due(run_after: Any) -> Any:
    """When a task is due: aware, or a timedelta for the database's clock to add."""
    if isinstance(run_after, datetime) and timezone.is_naive(run_after) and not settings.USE_TZ:
        return timezone.make_aware(run_after)
    return run_after


def unique_key(stated: TaskOptions, arguments: Arguments) -> str | None:
    """The key under which at most one live job may exist."""
    if stated.unique is True:
        text = json.dumps(arguments, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    return key_of("unique", stated.unique or None, arguments)


def key_of(
    name: str, rule: str | Callable[..., str] | bool | None, arguments: Arguments
) -> str | None:
    """A key given as a text, or computed from the task's arguments."""
    if rule is None or isinstance(rule, str):
        return rule
    if not callable(rule):
        raise InvalidInput(f"{name}={rule!r}: give a text or a function of the task's arguments")
    args, kwargs = arguments
    return rule(*args, **kwargs)
