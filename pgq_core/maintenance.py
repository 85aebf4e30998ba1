"""What tidies up while jobs run: the jobs of dead workers, old history, leftovers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from pgq_core.errors import PgqError
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.queries.retention import START

log = logging.getLogger("pgq_core.maintenance")

TROUBLE = (*DISCONNECTED, asyncpg.PostgresError, PgqError)
GRACE = 0.2


@dataclass
class Rescuer:
    """Which workers look dead, since when: a free lock gets a short grace, a silent beat none."""

    seen: dict[int, float] = field(default_factory=dict)

    def overdue(self, gone: Iterable[int], stale: Iterable[int], now: float) -> list[int]:
        """The workers to rescue now."""
        self.seen = {worker: self.seen.get(worker, now) for worker in gone}
        return [w for w, since in self.seen.items() if now - since >= GRACE] + list(stale)

    def next_look(self) -> float | None:
        """When to look again, while somebody is in the grace."""
        return min(self.seen.values()) + GRACE + 0.001 if self.seen else None


def report(rows: list[Any]) -> None:
    """Log what a rescue decided."""
    for row in rows:
        level = logging.ERROR if row["outcome"] == "failed" else logging.WARNING
        log.log(
            level, "job %d, attempt %d: worker %d died while it ran: %s",
            row["job_id"], row["attempt"], row["worker_id"], row["outcome"],
        )  # fmt: skip


async def rounds(once: Callable[[], Awaitable[None]], least: float, most: float) -> None:
    """Once every so many seconds, for ever; an error is logged and the next round tries again."""
    while True:
        await asyncio.sleep(random.uniform(least, most))
        try:
            await once()
        except TROUBLE as error:
            log.warning("%s failed, trying again later (%s: %s)",
                        once.__qualname__, type(error).__name__, error)  # fmt: skip


class Orphans:
    """Once per lease time, on any connection of the driver: the leases of workers that have no row.

    Such a worker was taken for dead, claimed once more, and died before its next beat, which would
    have made its row anew. One that lives has beaten between two looks, so the second one rescues.
    """

    def __init__(self, queries: Queries, every: float) -> None:
        self.queries = queries
        self.every = every
        self._seen: set[int] = set()

    async def run(self) -> None:
        """Look for ever."""
        await rounds(self.once, 0.9 * self.every, 1.1 * self.every)

    async def once(self) -> None:
        """One look."""
        found = {row["worker_id"] for row in await self.queries.call("orphans")}
        if lasting := sorted(found & self._seen):
            report(await self.queries.call("rescue", workers=lasting))
        self._seen = found


class Upkeep:
    """Once a minute, on any connection of the driver: sweep, tidy, prune."""

    def __init__(self, queries: Queries, options: WorkerOptions, every: float = 60.0) -> None:
        self.queries = queries
        self.options = options
        self.every = every
        self._job = START
        self._batch = 0

    async def run(self) -> None:
        """Tidy for ever."""
        await rounds(self.once, 0.5 * self.every, 1.5 * self.every)

    async def once(self) -> None:
        """One round."""
        await self.queries.call("tidy")
        await self.queries.call("sweep", place=None, apart=900)
        self._batch = await self.queries.prune_batches(self._batch) or 0
        if self.options.prune:
            await self._prune()

    async def _prune(self) -> None:
        """Steps from the remembered id on, at most a tenth of the time, at most ten seconds."""
        end, options = time.monotonic() + 10, self.options
        while time.monotonic() < end:
            started = time.monotonic()
            step = await self.queries.prune_some(
                self._job, 500, options.keep_succeeded, options.keep_failed, options.keep_cancelled
            )
            if step.last_id is None or not step.old:
                # What comes behind is younger still: the next round begins at the start again.
                self._job = START
                return
            self._job = step.last_id
            await asyncio.sleep(9 * (time.monotonic() - started))
