"""How an attempt that raised ends: what the core will make of the error, before it does."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgq_core import Cancel, Snooze
from pgq_core.errors import LeaseLost
from pgq_core.executor import TimedOut
from pgq_core.worker.completion import noticed, stopping
from pgq_django.compat import TaskError
from pgq_django.exceptions import Cancelled, Interrupted
from pgq_django.worker.policy import Policy


@contextmanager
def stops_named(context: Any, limit: float | None) -> Iterator[None]:
    """Raises what stopped the task under its own name, TimedOut or Cancel, also when the task has
    looked at `cancelled` and returned."""
    try:
        yield
        if noticed(context):
            raise asyncio.CancelledError
    except asyncio.CancelledError as stop:
        named = name_of(stop, context, limit)
        if named is stop:
            raise
        raise named.with_traceback(stop.__traceback__) from None


def name_of(stop: asyncio.CancelledError, context: Any, limit: float | None) -> BaseException:
    """The error behind a cancellation."""
    why, reason = stopping(context)
    if why == "timeout":
        return TimedOut(f"ran longer than its timeout of {limit or 0:g} s")
    if why == "cancel":
        return Cancel(reason or "cancelled while running")
    return stop


def is_over(policy: Policy, error: BaseException, result: Any, context: Any) -> bool:
    """Whether the task has failed with this error: nobody will try it again."""
    why, _ = stopping(context)
    if why == "lost" or isinstance(error, (LeaseLost, Snooze)):
        return False
    if isinstance(error, Cancel):
        return True
    if why == "shutdown" and isinstance(error, asyncio.CancelledError):
        return bool(context.job.max_attempts == 1)
    return policy.is_last(error, result, context.job, context)


def as_task_error(error: BaseException, context: Any) -> TaskError:
    """The error as results show it, where ours carry names of ours."""
    kind, (why, _) = type(error), stopping(context)
    if why == "cancel" and isinstance(error, Cancel):
        kind = Cancelled
    if why == "shutdown" and isinstance(error, asyncio.CancelledError):
        kind = Interrupted
    return TaskError(
        exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
        traceback="".join(traceback.format_exception(type(error), error, error.__traceback__)),
    )
