"""PgQueuer, with its own advice on autovacuum applied."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "PgQueuer", "pgqueuer", 8_000
SETTINGS = "asyncpg, `batch_size=100`, `max_concurrent_tasks=1000`, its autovacuum advice, uvloop"
ACKED = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
DEFER = """
INSERT INTO pgqueuer (priority, entrypoint, payload, status, execute_after)
SELECT 0, 'note', convert_to($1, 'UTF8'), 'queued', now() + interval '1 day'
FROM generate_series(1, $2::int)
"""


async def prepare(dsn: str) -> None:
    """Its tables and its autovacuum settings."""
    async with _queries(dsn, 1) as queries:
        await queries.install()
        await queries.optimize_autovacuum()


class Producer:
    """`Queries.enqueue`, with one job or with lists."""

    def __init__(self, queries: Any) -> None:
        self.queries = queries

    async def one(self, number: int) -> None:
        """One transaction."""
        await self.queries.enqueue("note", json.dumps(payload(number)).encode())

    async def many(self, numbers: Sequence[int]) -> None:
        """One statement."""
        bodies = [json.dumps(payload(number)).encode() for number in numbers]
        await self.queries.enqueue(["note"] * len(bodies), bodies, [0] * len(bodies))


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:
    """On a pool of so many connections."""
    async with _queries(dsn, connections) as queries:
        yield Producer(queries)


@asynccontextmanager
async def _queries(dsn: str, connections: int) -> AsyncIterator[Any]:
    import asyncpg
    from pgqueuer.db import AsyncpgPoolDriver
    from pgqueuer.queries import Queries

    async with asyncpg.create_pool(dsn, min_size=1, max_size=connections) as pool:
        yield Queries(AsyncpgPoolDriver(pool))


def work(dsn: str) -> None:
    """One worker, until killed."""
    import uvloop

    uvloop.run(_work(dsn))


async def _work(dsn: str) -> None:
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver

    peer = PgQueuer(AsyncpgDriver(await asyncpg.connect(dsn)))

    @peer.entrypoint("note")
    async def note(job: Any) -> None:
        ran(json.loads(job.payload)["n"])

    await peer.run(batch_size=100, max_concurrent_tasks=1000)
