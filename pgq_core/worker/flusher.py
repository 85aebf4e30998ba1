"""Outcomes collect here and go out together: one flush in flight, batches form by themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError
from pgq_core.outcomes import Outcome, describe_text
from pgq_core.worker.book import Book, Running
from pgq_core.worker.line import Line

log = logging.getLogger("pgq_core.worker")

Entry = tuple[Running, Outcome]
BATCH = 1000
AGAIN = ("retry", "snooze", "interrupted")


class Flusher:
    """Writes outcomes until they are written, refused, or the lease is gone."""

    def __init__(self, worker_id: int, line: Line, book: Book, fenced: Callable[[], None]) -> None:
        self.worker_id = worker_id
        self.line = line
        self.book = book
        self.written = 0
        self.fenced = fenced
        self._pending: list[Entry] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_written: Callable[[list[Entry]], None] = lambda _: None

    def add(self, run: Running, outcome: Outcome) -> None:
        """Queue one outcome for the next flush."""
        self._pending.append((run, outcome))
        self._idle.clear()
        self._news.set()

    @property
    def backlog(self) -> int:
        """Outcomes that wait to be sent."""
        return len(self._pending)

    @property
    def idle(self) -> bool:
        """Whether everything queued is written."""
        return self._idle.is_set()

    async def drained(self) -> None:
        """Wait until everything queued is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Flush for ever; cancelled when the worker ends."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._pending:
                batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
                await self._deliver(batch)
            self._idle.set()

    async def _deliver(self, batch: list[Entry]) -> None:
        """Send one batch until the database has answered."""
        while batch:
            try:
                refused = await self._send(batch)
            except (*DISCONNECTED, asyncpg.TransactionRollbackError, DatabaseError,
                    asyncpg.ReadOnlySQLTransactionError, asyncpg.QueryCanceledError,
                    asyncpg.InsufficientResourcesError,
                    asyncpg.ObjectNotInPrerequisiteStateError) as error:  # fmt: skip
                await self.line.pause(error)
            except asyncpg.PostgresError as error:
                if len(batch) == 1 and isinstance(error, asyncpg.UniqueViolationError):
                    await self.line.pause(error)  # the same flush, sent before, is still at work
                else:
                    batch = await self._isolate(batch, error)
            else:
                batch = self._settle(batch, refused)
                if batch:
                    await asyncio.sleep(0.05)

    async def _isolate(self, batch: list[Entry], error: Exception) -> list[Entry]:
        """One outcome in the batch cannot be written: find it, and write it without its details,
        else as a failure, else not at all: then the audit gives the job back.
        """
        if len(batch) > 1:
            for entry in batch:
                await self._deliver([entry])
            return []
        run, outcome = batch[0]
        log.error("job %d: its outcome could not be written as it is: %s", run.job.id, error)
        bare = outcome.result is None and "OutcomeNotStored" in (outcome.error or "")
        if bare and outcome.kind == "failed":
            self.book.settle(run.lease)
            self.fenced()
            return []
        outcome.kind, outcome.result = "failed" if bare else outcome.kind, None
        outcome.error = describe_text("OutcomeNotStored", f"{type(error).__name__}: {error}")
        return batch

    async def _send(self, batch: list[Entry]) -> dict[int, str]:
        counts = Counter(run.lease.id for run, _ in batch)
        leases = {run.lease.id: run.lease for run, _ in batch}
        shut = [lease for lease in leases.values() if counts[lease.id] >= lease.open]
        keep = [lease for lease in leases.values() if counts[lease.id] < lease.open]
        now = time.monotonic()
        rows = await self.line.call(
            "finish",
            worker=self.worker_id,
            shut=[lease.id for lease in shut],
            shut_tokens=[lease.token for lease in shut],
            open=[lease.id for lease in keep],
            open_tokens=[lease.token for lease in keep],
            **arrays(batch, now),
        )
        return {row["refused"]: row["reason"] for row in rows}

    def _settle(self, batch: list[Entry], refused: dict[int, str]) -> list[Entry]:
        """Book what was written; returns what must be sent again."""
        again: list[Entry] = []
        written: list[Entry] = []
        for run, outcome in batch:
            verdict = refused.get(run.job.id)
            if verdict == "busy":
                again.append((run, outcome))
                continue
            self.book.settle(run.lease)
            if verdict == "gone":
                log.warning(
                    "job %d, attempt %d: outcome %r refused, its lease was taken away",
                    run.job.id, run.job.attempt, outcome.kind,
                )  # fmt: skip
            else:
                written.append((run, outcome))
        self.written += len(written)
        if len(again) + len(written) < len(batch):
            self.fenced()
        self.on_written(written)
        return again


def arrays(batch: list[Entry], now: float) -> dict[str, Any]:
    """The arguments of finish.sql that run over the jobs; plain successes stand at the end, where
    the arrays with details stop."""
    told = [entry for entry in batch if not plain(entry[1])]
    ordered = told + [entry for entry in batch if plain(entry[1])] if told else batch
    return {
        "leases": [run.lease.id for run, _ in ordered],
        "jobs": [run.job.id for run, _ in ordered],
        "attempts": [run.job.attempt for run, _ in ordered],
        "started": [now - run.started if run.started else -1.0 for run, _ in ordered],
        "finished": [now - run.ended if run.ended else 0.0 for run, _ in ordered],
        "outcomes": [outcome.kind for _, outcome in told],
        "errors": [outcome.error for _, outcome in told],
        "results": [outcome.result for _, outcome in told],
        "lanes": [run.lane_id for run, _ in told],
        "delays": [outcome.delay for _, outcome in told],
        "spent": [outcome.spent for _, outcome in told],
        "crashes": [outcome.crashes for _, outcome in told],
        "keyed": any(run.job.unique_key is not None for run, _ in batch),
        "limited": any(run.limited for run, _ in batch),
        "requeue": any(outcome.kind in AGAIN for _, outcome in told),
    }


def plain(outcome: Outcome) -> bool:
    """Whether the job succeeded, and that is all there is to say."""
    return outcome.kind == "succeeded" and outcome.result is None and outcome.error is None
