"""PgQueuer 1.6.0 beside us: a database of its own, its autovacuum advice applied."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.stand import PAYLOAD, steady

TABLE = "SELECT count(*) FROM pgqueuer"


def available() -> bool:
    """Whether the peer is installed here."""
    return importlib.util.find_spec("pgqueuer") is not None


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[str]:
    """The DSN of a fresh database with its tables."""
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    name = f"bench_peer_{time.time_ns()}"
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(dsn)
    own = urlunsplit(parts._replace(path=f"/{name}"))
    try:
        connection = await asyncpg.connect(own)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()
        yield own
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def fill(dsn: str, count: int) -> None:
    """Enqueue that many jobs in large calls."""
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(dsn)
    queries = Queries(AsyncpgDriver(connection))
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        await queries.enqueue(["noop"] * size, [PAYLOAD] * size, [0] * size)
    await connection.close()


async def drain(dsn: str, count: int, batch: int) -> float:
    """Jobs per second of one process, from start until its table is empty."""
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.types import QueueExecutionMode

    async with database(dsn) as own:
        await fill(own, count)
        connection = await asyncpg.connect(own)
        await connection.execute("CHECKPOINT")
        peer = PgQueuer(AsyncpgDriver(connection))

        @peer.entrypoint("noop")
        async def noop(job: Any) -> None:
            pass

        started = time.perf_counter()
        await peer.run(
            batch_size=batch,
            mode=QueueExecutionMode.drain,
            max_concurrent_tasks=max(2 * batch, 1000),
        )
        elapsed = time.perf_counter() - started
        await connection.close()
        check = await asyncpg.connect(own)
        assert await check.fetchval(TABLE) == 0
        await check.close()
        return count / elapsed


async def produce(dsn: str, connections: int, seconds: float) -> float:
    """Single-job enqueue transactions per second, its worker running beside."""
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    async with database(dsn) as own:
        worker = asyncio.ensure_future(consume(own))
        opened = [await asyncpg.connect(own) for _ in range(connections)]
        verbs = [Queries(AsyncpgDriver(connection)) for connection in opened]
        rate = await steady([partial(v.enqueue, "noop", PAYLOAD) for v in verbs], seconds)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        for connection in opened:
            await connection.close()
        return rate


async def consume(dsn: str) -> None:
    """A worker process of its own, until cancelled."""
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "benchmarks.pgqueuer_peer", dsn
    )
    try:
        await process.wait()
    finally:
        process.kill()
        await process.wait()


async def work(dsn: str) -> None:
    """Run jobs for ever."""
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver

    peer = PgQueuer(AsyncpgDriver(await asyncpg.connect(dsn)))

    @peer.entrypoint("noop")
    async def noop(job: Any) -> None:
        pass

    await peer.run(batch_size=100, max_concurrent_tasks=1000)


if __name__ == "__main__":
    import sys

    import uvloop

    uvloop.install()
    asyncio.run(work(sys.argv[1]))
