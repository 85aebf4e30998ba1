"""A small protocol around enqueue and attempt, for metrics and tracing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from pgq_core.models import Job, NewJob
from pgq_core.outcomes import Outcome

log = logging.getLogger("pgq_core.hooks")


class Hook(Protocol):
    """What a plugin may implement; it must not raise."""

    def enqueueing(self, job: NewJob) -> NewJob:
        """Called before a job is written; may return a changed copy (headers, say)."""

    def attempt(self, job: Job) -> AbstractContextManager[None]:
        """Entered around the handler, in its task."""

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        """Called once for every attempt that was entered, when it has ended; `seconds` it ran.

        An attempt that lost its lease ends as `lost`: another worker decides about its job.
        """


def around(hooks: Iterable[Hook], job: Job) -> ExitStack:
    """Enter every hook's `attempt`; one that raises is left out."""
    stack = ExitStack()
    for hook in hooks:
        try:
            stack.enter_context(hook.attempt(job))
        except Exception:
            log.exception("job %d: a hook failed", job.id)
    return stack
