"""When a task is tried again: what its options say, in the core's terms."""

# ruff: noqa: ARG002  (the signatures are the core's)

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeGuard

from pgq_core import Backoff, Job, NewJob, Retry
from pgq_core.executor import TimedOut
from pgq_core.options import EntrypointOptions
from pgq_core.outcomes import Outcome
from pgq_core.retries import delay_after
from pgq_core.worker.completion import spent
from pgq_django.priorities import to_pgq
from pgq_django.task import defaults_of, options_of

log = logging.getLogger("pgq_django")

MARK = "__pgq_never_again__"


@dataclass
class Box:
    """What an attempt leaves for the core to find; shared with the thread a plain task runs in.

    `delay`: what backoff(exception, task_result) has decided. `loop`: the worker's.
    """

    loop: asyncio.AbstractEventLoop | None = None
    delay: float | None = None

    def in_the_loop(self, call: Callable[[], object]) -> None:
        """Call something where the worker's books are kept."""
        if self.loop is None:
            call()
        else:
            self.loop.call_soon_threadsafe(call)


_box: ContextVar[Box] = ContextVar("pgq_box")


def box() -> Box:
    """The box of the attempt that runs."""
    return _box.get(Box())


@contextmanager
def boxed(loop: asyncio.AbstractEventLoop | None = None) -> Iterator[None]:
    """A box for the attempt made in this block."""
    token = _box.set(Box(loop))
    try:
        yield
    finally:
        _box.reset(token)


class _Marked(type):
    def __instancecheck__(cls, error: object) -> bool:
        return getattr(error, MARK, False) is True


class NeverAgain(BaseException, metaclass=_Marked):
    """Stands in `no_retry_on`: an error is one of these when it was marked, whatever its class."""


class Boxes:
    """The hook that gives every attempt its box."""

    def enqueueing(self, job: NewJob) -> NewJob:
        """Nothing to add."""
        return job

    @contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        """Entered in the attempt's task."""
        with boxed(asyncio.get_running_loop()):
            yield

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        """Nothing to note."""


class Policy:
    """A task with its options."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.options = defaults_of(task).merged(options_of(task))

    @cached_property
    def entrypoint(self) -> EntrypointOptions:
        """The options the core's registry wants."""
        options = self.options
        return EntrypointOptions(
            queue=self.task.queue_name,
            priority=to_pgq(self.task.priority),
            max_attempts=options.max_attempts or EntrypointOptions.max_attempts,
            backoff=self.delay,
            retry_on=classes(options.retry_on) or (BaseException,),
            no_retry_on=(NeverAgain, *classes(options.no_retry_on)),
            timeout=options.timeout_seconds,
            transactional=bool(options.atomic),
            concurrency_limit=options.concurrency_limit,
            rate_limit=options.rate_limit,
        )

    @property
    def limited(self) -> bool:
        """Whether workers share a limit for this task."""
        return self.options.concurrency_limit is not None or self.options.rate_limit is not None

    def is_last(self, error: BaseException, result: Any, job: Job, context: Any) -> bool:
        """Whether this error ends the task; asks `backoff(exception, task_result)` when there is
        one, and keeps its answer for the core."""
        if not self.is_worth_it(error) or spent(context) + 1 >= (job.max_attempts or 1):
            return True
        rule = self.options.backoff
        if isinstance(error, Retry) or not takes_two(rule):
            return False
        try:
            delay = rule(error, result)
            box().delay = None if delay is None else seconds(delay)
        except Exception:
            log.exception("the backoff of %s failed; waiting the usual time", self.task.module_path)
            return False
        if delay is None:
            self.never_again(error)
        return delay is None

    def is_worth_it(self, error: BaseException) -> bool:
        """Whether an error of this class is tried again."""
        stated = self.entrypoint
        if isinstance(error, Retry):
            return True
        wanted = isinstance(error, (*stated.retry_on, TimedOut))
        return wanted and not isinstance(error, stated.no_retry_on)

    def never_again(self, error: BaseException) -> None:
        """Mark an error: the job has failed, whatever attempts are left."""
        setattr(error, MARK, True)

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures: the core asks."""
        decided = box().delay
        if decided is not None:
            return decided
        rule = self.options.backoff
        if takes_two(rule):  # it has been asked, and could not say
            return Backoff().delay(failures)
        if callable(rule) and not isinstance(rule, Backoff):
            return seconds(rule(failures))
        return delay_after(Backoff() if rule is None else rule, failures)


def classes(errors: Any) -> tuple[type[BaseException], ...]:
    """One exception class, several or none."""
    if errors is None:
        return ()
    return (errors,) if isinstance(errors, type) else tuple(errors)


def takes_two(rule: Any) -> TypeGuard[Callable[..., Any]]:
    """Whether a backoff wants the exception and the result rather than a number."""
    if not callable(rule) or isinstance(rule, Backoff):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in inspect.signature(rule).parameters.values()) >= 2


def seconds(delay: Any) -> float:
    """A number of seconds, or a timedelta."""
    return delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
