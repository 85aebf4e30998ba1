"""What a job leaves behind: WAL bytes and dead rows; what an idle worker costs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.drain import claim, finish
from benchmarks.stand import Stand, fill, on, scalar
from pgq_core import NewJob

DEAD = """
SELECT relname, n_tup_del + n_tup_upd FROM pg_stat_all_tables
WHERE schemaname = $1 AND n_tup_del + n_tup_upd > 0
"""


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


async def sent(worker: asyncio.subprocess.Process) -> int:
    """How many statements a metered worker has sent so far; each is a transaction."""
    assert worker.stdout is not None
    worker.send_signal(signal.SIGUSR1)
    return int(await worker.stdout.readline())


async def rate(workers: Sequence[asyncio.subprocess.Process], seconds: float) -> float:
    """Transactions per second of idle workers."""
    before, started = [await sent(worker) for worker in workers], time.monotonic()
    await asyncio.sleep(seconds)
    after, elapsed = [await sent(worker) for worker in workers], time.monotonic() - started
    return (sum(after) - sum(before)) / elapsed


async def idle(stand: Stand, seconds: float) -> float:
    """Transactions per second of one idle worker, beats included."""
    async with stand.queue() as pgq, stand.worker(pgq.queries.schema, metered=True) as worker:
        await asyncio.sleep(6)  # its looks have become rare
        return await rate([worker], seconds)


async def per_job_with(stand: Stand, count: int, jobs: int) -> float:
    """Workers' transactions per job with so many of them idle and ten jobs a second."""
    async with stand.queue() as pgq, AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(stand.worker(pgq.queries.schema, metered=True))
            for _ in range(count)
        ]
        await asyncio.sleep(6)
        quiet = await rate(workers, 6)
        started, before = time.monotonic(), [await sent(worker) for worker in workers]
        for i in range(jobs):
            await asyncio.sleep(max(0.0, started + i * 0.1 - time.monotonic()))
            await pgq.enqueue("noop", check=False)
        await asyncio.sleep(1.0)
        assert await scalar(pgq, "SELECT count(*) FROM {s}.pgq_attempts") == jobs
        spent = sum([await sent(worker) for worker in workers]) - sum(before)
        # What the others spend while idle anyway is not the jobs' fault.
        return (spent - quiet * (count - 1) / count * (time.monotonic() - started)) / jobs


async def figure(stand: Stand) -> dict[str, Any]:
    """All of it."""
    jobs = stand.size(100, 300)
    return {
        **await per_job(stand),
        "idle": await idle(stand, 20.0 if stand.long else 10.0),
        "one": await per_job_with(stand, 1, jobs),
        "ten": await per_job_with(stand, 10, jobs),
    }
