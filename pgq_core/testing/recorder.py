"""What ran, as a test wants to know it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.models import Job, NewJob
from pgq_core.outcomes import Outcome
from pgq_core.queries.rows import decoded

GONE_WRONG = ("failed", "retry")


@dataclass(frozen=True)
class Ran:
    """One attempt: its job, and how it ended ('succeeded', 'failed', 'retry', 'snooze', …)."""

    job: Job
    outcome: str
    result: Any
    error: dict[str, Any] | None

    def check(self) -> None:
        """Raise AssertionError, with the handler's traceback, unless the attempt went well."""
        if self.outcome in GONE_WRONG:
            error = self.error or {}
            raise AssertionError(
                f"job {self.job.id} ({self.job.entrypoint}), attempt {self.job.attempt}: "
                f"{self.outcome}: {error.get('type')}: {error.get('message')}\n"
                f"{error.get('traceback', '')}"
            )


class Recorder:
    """A hook that remembers every attempt."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []

    def enqueueing(self, job: NewJob) -> NewJob:
        """Nothing to add."""
        return job

    def attempt(self, job: Job) -> AbstractContextManager[None]:  # noqa: ARG002  (the protocol's)
        """Nothing to do before."""
        return nullcontext()

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002
        """Remember it."""
        self.ran.append(Ran(job, outcome.kind, decoded(outcome.result), decoded(outcome.error)))


@contextmanager
def recording(pgq: PgQueuer) -> Iterator[list[Ran]]:
    """Record what runs within the block."""
    recorder = Recorder()
    pgq.hooks.append(recorder)
    try:
        yield recorder.ran
    finally:
        pgq.hooks.remove(recorder)
