"""Oban for Python, the open-source edition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "Oban (Python)", "oban", 10_000
SETTINGS = "psycopg pool of 10, queue limit 500, notifier `postgres`, uvloop"
ACKED = "SELECT count(*) FROM oban_jobs WHERE state = 'completed'"
DEFER = """
INSERT INTO oban_jobs (state, worker, args, scheduled_at)
SELECT 'scheduled', 'benchmarks.peers.adapters.oban._worker.<locals>.Note', $1::jsonb,
       timezone('UTC', now()) + interval '1 day'
FROM generate_series(1, $2::int)
"""


def _worker() -> Any:
    from oban import worker

    @worker(queue="default")
    class Note:
        async def process(self, job: Any) -> None:
            ran(job.args["n"])

    return Note


async def prepare(dsn: str) -> None:
    """Its schema."""
    from oban import Oban
    from oban.schema import install

    pool = await Oban.create_pool(dsn, max_size=1)
    await install(pool)
    await pool.close()


class Producer:
    """`enqueue` and `enqueue_many`."""

    def __init__(self, oban: Any) -> None:
        self.oban, self.note = oban, _worker()

    async def one(self, number: int) -> None:
        """One transaction."""
        await self.oban.enqueue(self.note.new(payload(number)))

    async def many(self, numbers: Iterable[int]) -> None:
        """One call."""
        await self.oban.enqueue_many([self.note.new(payload(number)) for number in numbers])


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:
    """A client without queues, on a pool of so many connections."""
    async with _oban(dsn, connections) as oban:
        yield Producer(oban)


@asynccontextmanager
async def _oban(dsn: str, connections: int, **options: Any) -> AsyncIterator[Any]:
    from oban import Oban

    pool = await Oban.create_pool(dsn, min_size=1, max_size=connections)
    try:
        async with Oban(pool=pool, **options) as oban:
            yield oban
    finally:
        await pool.close()


def work(dsn: str) -> None:
    """One worker, until killed."""
    import uvloop

    uvloop.run(_work(dsn))


async def _work(dsn: str) -> None:
    _worker()
    async with _oban(dsn, 10, queues={"default": 500}):
        await asyncio.Event().wait()
