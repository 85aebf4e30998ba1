"""What a job leaves behind: WAL bytes and dead rows; what an idle worker costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from benchmarks.drain import claim, finish
from benchmarks.stand import Stand, fill, on, scalar
from pgq_core import NewJob

DEAD = """
SELECT relname, n_tup_del + n_tup_upd FROM pg_stat_all_tables
WHERE schemaname = $1 AND n_tup_del + n_tup_upd > 0
"""
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


async def per_job(stand: Stand, batch: int = 100) -> dict[str, Any]:
    """WAL bytes and rows that die, per job of 200 bytes, history included, over a full life."""
    count = 20_000
    async with stand.queue() as pgq:
        connection = await stand.connect()
        queries = on(connection, pgq.queries.schema)
        await connection.execute("CHECKPOINT")
        await fill(pgq, 1000)  # first touches of pages write whole pages; they are not the job's
        row = (await queries.call("register_worker", name="f", lease=60.0, info="{}"))[0]
        lanes = [
            r["lane_id"] for r in await queries.call("lanes", entrypoints=["noop"], queues=None)
        ]
        start = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
        for _ in range(count // batch):
            await queries.enqueue_many([NewJob("noop", b"x" * 200)] * batch)
            await finish(
                queries, row["worker_id"], await claim(queries, row["worker_id"], lanes, 0, batch)
            )
        wal = await connection.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", start)
        await asyncio.sleep(1.5)
        await connection.execute("SELECT 1")  # a session reports its counts when it is next used
        await asyncio.sleep(0.1)
        dead = dict(await connection.fetch(DEAD, pgq.queries.schema))
        await connection.close()
        return {
            "wal": float(wal) / count,
            "dead": sum(dead.values()) / count,
            "pointers": dead.get("pgq_ready", 0) / count,
            "leases": dead.get("pgq_leases", 0) / count,
        }


@asynccontextmanager
async def undisturbed(stand: Stand) -> AsyncIterator[None]:
    """Without autovacuum, whose transactions the server counts as well."""
    connection = await stand.connect()
    await connection.execute("ALTER SYSTEM SET autovacuum = off")
    await connection.execute("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(1.0)  # what runs already ends
        yield
    finally:
        await connection.execute("ALTER SYSTEM RESET autovacuum")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()


async def rate(stand: Stand, seconds: float) -> float:
    """Transactions per second in this database over a while, our own two left out."""
    started, before = time.monotonic(), await commits(stand)
    await asyncio.sleep(seconds)
    return (await commits(stand) - before - 1) / (time.monotonic() - started)


async def commits(stand: Stand) -> int:
    """Transactions committed in this database so far."""
    connection = await stand.connect()
    try:
        return int(await connection.fetchval(COMMITS))
    finally:
        await connection.close()


async def idle(stand: Stand, seconds: float) -> float:
    """Transactions per second of one idle worker, beats included, less those of an idle server."""
    alone = await rate(stand, seconds)
    async with stand.queue() as pgq, stand.worker(pgq.queries.schema):
        await asyncio.sleep(6)  # its looks have become rare
        return await rate(stand, seconds) - alone


async def per_job_with(stand: Stand, workers: int, jobs: int) -> float:
    """Transactions per job with so many idle workers and ten jobs a second."""
    async with stand.queue() as pgq, AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(stand.worker(pgq.queries.schema))
        await asyncio.sleep(6)
        quiet = await rate(stand, 6)
        started, before = time.monotonic(), await commits(stand)
        for i in range(jobs):
            await asyncio.sleep(max(0.0, started + i * 0.1 - time.monotonic()))
            await pgq.enqueue("noop", check=False)
        await asyncio.sleep(1.0)
        assert await scalar(pgq, "SELECT count(*) FROM {s}.pgq_attempts") == jobs
        spent, elapsed = await commits(stand) - before, time.monotonic() - started
        return (spent - quiet * elapsed) / jobs


async def figure(stand: Stand) -> dict[str, Any]:
    """All of it."""
    jobs = stand.size(100, 300)
    left = await per_job(stand)
    async with undisturbed(stand):
        return {
            **left,
            "idle": await idle(stand, 20.0 if stand.long else 10.0),
            "one": await per_job_with(stand, 1, jobs),
            "ten": await per_job_with(stand, 10, jobs),
        }
