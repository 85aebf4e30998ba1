"""Complete a job on a connection the core does not know: what a guest's transaction must write.

`Context.transaction()` does this on asyncpg, psycopg and SQLAlchemy. A guest that owns another kind
of connection (Django's wrapper, say) runs `finish.sql` itself, as the last statement before COMMIT.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pgq_core.errors import LeaseLost
from pgq_core.outcomes import Outcome
from pgq_core.worker.book import Running
from pgq_core.worker.context import Context
from pgq_core.worker.flusher import arrays


@dataclass(frozen=True)
class Completion:
    """The end of one attempt, in the hands of whoever holds the transaction."""

    context: Context

    def values(self, result: str | None) -> dict[str, Any]:
        """The arguments of finish.sql that complete the job with this result (JSON text)."""
        run = self.context._run
        outcome = Outcome(run.job, "succeeded", None, result)
        return {**finish_values(self.context._worker_id, run, outcome), "finished": [0.0]}

    def check(self, refused: list[Any]) -> None:
        """Look at the rows finish.sql gave. Raises LeaseLost: the transaction must roll back."""
        if refused:
            raise LeaseLost(self.context._run.job.id, self.context._run.job.attempt)

    def mark(self) -> None:
        """After COMMIT, before the handler returns: nobody writes an outcome for this job again."""
        self.context._run.completed = True

    def settle(self) -> None:
        """After COMMIT, in the worker's loop: the lease has one open job less."""
        self.context._book.settle(self.context._run.lease)


def spent(context: Context) -> int:
    """How many attempts this job has spent before this one."""
    return int(context._run.spent)


def stopping(context: Context) -> tuple[str | None, str | None]:
    """Who asked this attempt to stop (see `Running.stop`) and for which reason; else None twice."""
    return context._run.why, context._run.reason


def noticed(context: Context) -> bool:
    """Whether the handler has been told to stop: if it returns now, it was stopped."""
    return context._run.noticed and not context._run.completed


def worker_of(context: Context) -> int:
    """The id of the worker that runs this attempt."""
    return int(context._worker_id)


def finish_values(worker: int, run: Running, outcome: Outcome) -> dict[str, Any]:
    """The arguments of finish.sql for one attempt."""
    alone = run.lease.open == 1
    ids, tokens = [run.lease.id], [run.lease.token]
    return {
        **arrays([(run, outcome)], time.monotonic()),
        "worker": worker,
        "shut": ids if alone else [],
        "shut_tokens": tokens if alone else [],
        "open": [] if alone else ids,
        "open_tokens": [] if alone else tokens,
    }
