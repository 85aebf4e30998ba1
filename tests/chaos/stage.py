"""The stage: a server, a proxy, a pooler, producers and workers as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED, AsyncpgDriver
from pgq_core.embedded import EmbeddedServer
from pgq_core.queries import Queries
from tests.chaos.occurrence import Occurrence
from tests.chaos.oracle import Log, sign
from tests.chaos.roads import Roads
from tests.chaos.seats import Seat
from tests.support import eventually

PREPARE = """
CREATE TABLE chaos_effects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL
);
CREATE TABLE chaos_held (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
"""
LEFT = """
SELECT (SELECT count(*) FROM pgq_ready) + (SELECT count(*) FROM pgq_deferred)
     + (SELECT count(*) FROM pgq_blocked) + (SELECT count(*) FROM pgq_leases)
"""
ENQUEUE = """
INSERT INTO pgq_jobs (entrypoint, payload)
SELECT $1, $2 FROM generate_series(1, $3) RETURNING id
"""
ANY_ERROR = (*DISCONNECTED, asyncpg.PostgresError)


@dataclass
class Stage:
    """Everything that runs; `server` listens on TCP so that others can stand before it."""

    server: EmbeddedServer
    folder: Path
    seed: int
    lease: float = 2.0
    rate: float = 20.0
    workers: list[Seat] = field(default_factory=list)
    producers: list[Seat] = field(default_factory=list)
    occurred: list[Occurrence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    queued: float = 0.0  # the most seconds a statement waited for a table's lock behind a rebuild
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    roads: Roads = field(init=False)
    log: Log = field(init=False)

    def __post_init__(self) -> None:
        self.roads, self.log = Roads(self.server), Log(self.path)

    @property
    def path(self) -> str:
        """The oracle's file."""
        return str(self.folder / "oracle")

    # -- opening and closing --------------------------------------------------------------------

    async def open(self, count: int) -> None:
        """Install, open the roads, start so many workers and as many producers."""
        await self.roads.open()
        if self.roads.bouncer is None:
            self.notes.append("PgBouncer is not installed: nobody went through a pooler")
        async with self.admin() as connection:
            await Queries(AsyncpgDriver(connection)).initialize()
            await connection.execute(PREPARE)
        for number in range(count):
            self.workers.append(Seat(self._work, number, self.roads.of(number)))
            self.producers.append(Seat(self._produce, number, self.roads.of(number)))
        for seat in (*self.workers, *self.producers):
            seat.open()
        await self._all_work()

    async def _all_work(self) -> None:
        """Wait until every worker has begun."""

        async def all_there() -> bool:
            return len(self.working) == len(self.workers)

        await eventually(all_there, patience=60, what="every worker has begun")

    @property
    def working(self) -> list[Seat]:
        """The workers that have begun, and not ended yet."""
        return [seat for seat in self.workers if seat.sits and sign(self.path, seat.pid).exists()]

    def _work(self, seat: Seat) -> list[str]:
        said = (self.roads.dsn(seat.road), self.path, self.lease, seat.release)
        return ["tests.chaos.worker", *map(str, said)]

    def _produce(self, seat: Seat) -> list[str]:
        seed = f"{self.seed}/{seat.number}/{seat.started}"
        cache = 0 if seat.road == "pooled" else 100
        said = (self.roads.dsn(seat.road), self.path, seed, self.rate, cache)
        return ["tests.chaos.producer", *map(str, said)]

    async def settle(self, timeout: float) -> float:
        """Stop producing, let the workers finish; returns the seconds it took."""
        await asyncio.gather(*[seat.close(signal.SIGKILL) for seat in self.producers])
        started = time.monotonic()
        while time.monotonic() - started < timeout:
            with contextlib.suppress(*ANY_ERROR):
                async with self.admin() as connection:
                    if await connection.fetchval(LEFT) == 0:
                        return time.monotonic() - started
            await asyncio.sleep(0.1)
        return float("inf")

    async def close(self) -> None:
        """Stop everybody in order."""
        seats = (*self.producers, *self.workers)
        await asyncio.gather(*[seat.close(signal.SIGTERM) for seat in seats])
        await self.roads.close()

    # -- what faults use ------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        """A connection of the suite's own, past proxy and pooler."""
        connection = await asyncpg.connect(self.server.dsn(), timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()

    def happen(self, name: str, seats: Iterable[Seat] | None = None) -> Occurrence:
        """Note that a fault begins, aimed at these seats or at everybody."""
        aimed = None if seats is None else list(seats)
        if aimed and all(seat.road == "pooled" for seat in aimed):
            name += " (pooled)"
        pids = None if aimed is None else {seat.pid for seat in aimed}
        self.occurred.append(Occurrence(name, time.monotonic(), pids))
        return self.occurred[-1]

    async def enqueue(self, entrypoint: str, payload: str = "", count: int = 1) -> None:
        """Jobs of the suite's own, in one statement; the oracle hears of them."""
        async with self.admin() as connection:
            for row in await connection.fetch(ENQUEUE, entrypoint, payload.encode(), count):
                self.log.note("committed-later", row["id"])

    def any_worker(self, chance: random.Random) -> Seat:
        """One of those that work, if there are any."""
        return chance.choice(self.working or self.workers)
