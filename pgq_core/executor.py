"""Run one attempt: a job and a handler become an outcome. No database here."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Protocol

from pgq_core.errors import LeaseLost
from pgq_core.models import Job
from pgq_core.options import MAX_RESULT
from pgq_core.outcomes import (
    Cancel,
    Outcome,
    Retry,
    Snooze,
    describe,
    describe_text,
    encode_result,
)
from pgq_core.registry import Entrypoint
from pgq_core.retries import delay_after

log = logging.getLogger("pgq_core.executor")


class Control(Protocol):
    """What the executor must know of a running attempt: who asked it to stop, what it has spent."""

    job: Job
    spent: int
    crashes: int
    cap: int
    why: str | None
    reason: str | None
    thread: bool
    noticed: bool


class InThread(Protocol):
    """Whatever runs a call in a thread."""

    async def run(self, call: Callable[[], Any]) -> Any:
        """What it returns or raises."""


class TimedOut(Exception):
    """The handler ran longer than its timeout."""


async def execute(
    control: Control,
    entry: Entrypoint,
    arguments: tuple[Any, ...],
    threads: InThread,
    max_result: int = MAX_RESULT,
) -> Outcome | None:
    """Run the handler once and judge how it ended; None when the job is no longer ours."""
    if asked_to_stop(control):  # before it began
        return judge(control, entry, asyncio.CancelledError())
    try:
        if entry.is_async:
            value = await entry.handler(*arguments)
        else:
            value = await in_thread(control, threads, entry.handler, arguments)
            if inspect.isawaitable(value):
                value = await value
        if isinstance(value, (GeneratorType, AsyncGeneratorType)):
            raise TypeError("the handler gave a generator, whose body never ran; use `return`")
    except BaseException as error:  # noqa: BLE001  (SystemExit ends the attempt, not the worker)
        return judge(control, entry, error)
    if control.why == "lost":
        return None
    if control.noticed:  # it looked at `context.cancelled`, and returned because of it
        return judge(control, entry, asyncio.CancelledError())
    result, problem = encode_result(value, max_result)
    if problem is not None:
        log.warning("job %d (%s): result not stored", control.job.id, entry.name)
    return Outcome(control.job, "succeeded", problem, result)


def asked_to_stop(control: Control) -> bool:
    """Whether somebody wants this attempt to end; may change at any await."""
    return control.why is not None


async def in_thread(
    control: Control, threads: InThread, handler: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """Run a plain function in a thread. A thread cannot be cancelled: we wait until it ends."""
    context = contextvars.copy_context()

    def call() -> Any:
        # In this order: whoever asks to stop sets `why`, then looks whether a thread has begun.
        control.thread = True
        if asked_to_stop(control):
            raise asyncio.CancelledError
        try:
            return context.run(handler, *arguments)
        except (StopIteration, GeneratorExit) as error:  # these mean something else to a coroutine
            raise RuntimeError(f"the handler raised {type(error).__name__}") from error

    return await threads.run(call)


def judge(control: Control, entry: Entrypoint, error: BaseException) -> Outcome | None:
    """The outcome of an attempt that raised."""
    job = control.job
    if control.why == "lost" or isinstance(error, LeaseLost):
        return None
    if control.why == "cancel" and isinstance(error, (asyncio.CancelledError, Cancel)):
        return Outcome(
            job,
            "cancelled",
            describe_text("Cancelled", control.reason or "cancelled while running"),
        )
    if control.why == "shutdown" and isinstance(error, asyncio.CancelledError):
        return interrupted(control)
    if control.why == "timeout" and isinstance(error, asyncio.CancelledError):
        limit = job.timeout or entry.options.timeout
        error = TimedOut(f"ran longer than its timeout of {limit:g} s").with_traceback(
            error.__traceback__
        )
    if isinstance(error, Cancel):
        return Outcome(job, "cancelled", describe(error))
    if isinstance(error, Snooze):
        return Outcome(job, "snooze", describe(error), None, error.delay,
                       control.spent, control.crashes)  # fmt: skip
    return failed(control, entry, error)


def interrupted(control: Control) -> Outcome:
    """Given back unharmed, without spending an attempt; a job that may start only once is over."""
    if control.cap == 1:
        text = "interrupted by a shutdown, and this job may start only once"
        log.error("job %d (%s), attempt %d: interrupted, failed",
                  control.job.id, control.job.entrypoint, control.job.attempt)  # fmt: skip
        return Outcome(control.job, "failed", describe_text("Interrupted", text))
    return Outcome(control.job, "interrupted", None, None, 0.0, control.spent, control.crashes)


def failed(control: Control, entry: Entrypoint, error: BaseException) -> Outcome:
    """Retry after a pause while attempts are left and the error is worth it, else failed."""
    spent = control.spent + 1
    options = entry.options
    wanted = isinstance(error, Retry) or (
        isinstance(error, (*options.retry_on, TimedOut))
        and not isinstance(error, options.no_retry_on)
    )
    last = not wanted or spent >= control.cap
    log.log(logging.ERROR if last else logging.INFO, "job %d (%s), attempt %d: %s, %s",
            control.job.id, entry.name, control.job.attempt, type(error).__name__,
            "failed" if last else "to be retried")  # fmt: skip
    if last:
        return Outcome(control.job, "failed", describe(error), None, 0.0, spent, control.crashes)
    delay = error.delay if isinstance(error, Retry) else None
    if delay is None:
        try:
            delay = delay_after(options.backoff, spent)
        except Exception:
            log.exception("the backoff of %s failed; retrying in 10 s", entry.name)
            delay = 10.0
    return Outcome(control.job, "retry", describe(error), None, delay, spent, control.crashes)
