"""pgq itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "pgq", "pgq-suite", 40_000
SETTINGS = "asyncpg, `concurrency=1000`, history kept, LISTEN on"
ACKED = "SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'"
DEFER = """
INSERT INTO pgq_jobs (entrypoint, payload, run_at)
SELECT 'note', convert_to($1, 'UTF8'), now() + interval '1 day' FROM generate_series(1, $2::int)
"""


async def prepare(dsn: str) -> None:
    """The schema, in `public`."""
    from pgq_core import PgQueuer

    async with PgQueuer.connect(dsn) as pgq:
        await pgq.queries.initialize()


class Producer:
    """INSERT INTO pgq_jobs, one or many."""

    def __init__(self, pgq: Any) -> None:
        self.pgq = pgq

    async def one(self, number: int) -> None:
        """One transaction."""
        await self.pgq.enqueue("note", json.dumps(payload(number)), check=False)

    async def many(self, numbers: Iterable[int]) -> None:
        """One statement."""
        from pgq_core import NewJob

        jobs = [NewJob("note", json.dumps(payload(number))) for number in numbers]
        await self.pgq.enqueue_many(jobs, check=False)


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:
    """On a pool of so many connections."""
    from pgq_core import PgQueuer

    async with PgQueuer().connected(dsn, max_size=connections) as pgq:
        yield Producer(pgq)


def work(dsn: str) -> None:
    """One worker, until killed."""
    import uvloop

    from pgq_core.memory import set_aside

    with set_aside():  # as our command line does
        uvloop.run(_work(dsn))


async def _work(dsn: str) -> None:
    from pgq_core import Job, PgQueuer

    async with PgQueuer.connect(dsn) as pgq:

        @pgq.entrypoint("note")
        async def note(job: Job) -> None:
            ran(json.loads(job.payload)["n"])

        await pgq.run(concurrency=1000)
