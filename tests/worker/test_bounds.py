"""What a worker never does: claim more than it can start, fill memory, keep the database busy."""

from __future__ import annotations

import asyncio
import re
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgq_core import Job, PgQueuer
from pgq_core.db import AsyncpgPoolDriver
from tests.support import eventually
from tests.worker.harness import Connection, Processes, bulk, finished, held, working


class Meter:
    """Counts the statements on every connection that workers open: each is a transaction."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.count = 0

    async def connect(self) -> Connection:
        connection = await asyncpg.connect(self.database)
        connection.add_query_logger(self._note)
        return connection

    async def _watch(self, connection: Any) -> None:
        connection.add_query_logger(self._note)

    def _note(self, _: Any) -> None:
        self.count += 1

    @asynccontextmanager
    async def pgq(self) -> AsyncIterator[PgQueuer]:
        """A PgQueuer whose workers are counted, with a handler for "work"."""
        async with asyncpg.create_pool(self.database, min_size=0, setup=self._watch) as pool:
            pgq = PgQueuer(AsyncpgPoolDriver(pool, self.connect))

            @pgq.entrypoint("work")
            async def work(job: Job) -> None:
                pass

            yield pgq


@pytest.mark.parametrize(
    ("concurrency", "batch_size"), [(1, None), (7, None), (40, 3), (210, None), (240, 60)]
)
async def test_never_claims_more_than_it_can_start(
    pgq: PgQueuer, conn: Connection, concurrency: int, batch_size: int | None
) -> None:
    """However many jobs wait, a worker holds no more of them than it has slots."""
    release = asyncio.Event()
    running = most = 0

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    await bulk(conn, 300)
    async with working(pgq, concurrency=concurrency, batch_size=batch_size):

        async def full() -> bool:
            return running == concurrency

        await eventually(full)
        for _ in range(10):
            assert await held(conn) == concurrency
            sizes = await conn.fetchval("SELECT max(cardinality(job_ids)) FROM pgq_leases")
            assert sizes <= (batch_size or concurrency)
            await asyncio.sleep(0.03)
        release.set()

        async def all_done() -> bool:
            return bool(await conn.fetchval("SELECT count(*) = 300 FROM pgq_attempts"))

        await eventually(all_done)
    assert most == concurrency


async def test_two_workers_share_without_overlap(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """Workers on one lane at the same time start every job exactly once."""
    ran: list[int] = []

    async def work(job: Job) -> None:
        ran.append(job.id)

    pgq.entrypoint("work")(work)
    other.entrypoint("work")(work)
    await bulk(conn, 2000)
    async with working(pgq, concurrency=20), working(other, concurrency=20):

        async def all_done() -> bool:
            return bool(await conn.fetchval("SELECT count(*) = 2000 FROM pgq_attempts"))

        await eventually(all_done)
    assert len(ran) == len(set(ran)) == 2000


async def test_memory_is_flat_with_many_waiting(pgq: PgQueuer, conn: Connection) -> None:
    """A worker's memory depends on its slots, not on the 100,000 jobs that wait."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    await bulk(conn, 100_000)
    async with working(pgq, concurrency=50):

        async def some(count: int) -> bool:
            return bool(await conn.fetchval("SELECT count(*) >= $1 FROM pgq_attempts", count))

        await eventually(lambda: some(500))
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            so_far: int = await conn.fetchval("SELECT count(*) FROM pgq_attempts")
            await eventually(lambda: some(so_far + 1500))
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        pgq.stop(now=True)
    assert after - before < 2_000_000
    assert peak - before < 6_000_000


def peak_of(pid: int) -> int:
    """The most memory a process has had, in kilobytes; 0 when it has ended."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read it from")
async def test_processes_are_small_with_many_waiting(
    conn: Connection, processes: Processes
) -> None:
    """A worker process takes as much memory with 200,000 jobs waiting as with a thousand.

    `python -m benchmarks --only memory` does the same with a million.
    """

    async def most(waiting: int) -> int:
        """The kilobytes a worker takes at most while it runs 10,000 of so many jobs."""
        await bulk(conn, waiting, "nap")
        process, peak = processes.spawn(max_jobs=10_000), 0
        while process.poll() is None:
            peak = peak_of(process.pid) or peak
            await asyncio.sleep(0.02)
        assert process.returncode == 0, processes.stderr(process)
        return peak

    few = await most(11_000)
    many = await most(199_000)
    left = await conn.fetchval("SELECT count(*) FROM pgq_ready")
    assert (left, await conn.fetchval("SELECT count(*) FROM pgq_attempts")) == (190_000, 20_000)
    assert many - few < 4_000, f"{few} kB with few, {many} kB with many"


async def test_idle_worker_is_quiet(database: str, conn: Connection) -> None:
    """An idle worker makes at most one and a half transactions per second, beats included."""
    meter = Meter(database)
    async with meter.pgq() as pgq, working(pgq) as worker:
        await finished(conn, await pgq.enqueue("work"))

        async def slow() -> bool:
            return worker.pace.delay >= worker.options.idle_look

        await eventually(slow)
        before, began = meter.count, time.monotonic()
        await asyncio.sleep(4)
        rate = (meter.count - before) / (time.monotonic() - began)
    assert rate <= 1.8, f"{rate:.2f} transactions per second"  # one more or less, in four seconds


async def test_idle_workers_do_not_multiply_the_work(database: str, conn: Connection) -> None:
    """Nine more idle workers do not multiply the transactions that a job costs."""

    async def cost(workers: int) -> float:
        meter = Meter(database)
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(meter.pgq()) for _ in range(workers)]
            for pgq in started:
                await stack.enter_async_context(working(pgq))
            outside = await stack.enter_async_context(PgQueuer.connect(database))
            await finished(conn, await outside.enqueue("work"))
            await asyncio.sleep(2)  # their looks after the first job grow rare
            before, began = meter.count, time.monotonic()
            ids = []
            for _ in range(100):
                ids.append(await outside.enqueue("work"))
                await asyncio.sleep(0.008)
            await finished(conn, ids[-1])
            lasted = time.monotonic() - began
            spent = meter.count - before
        # What they spend while idle anyway is not the jobs' fault: 1.5 a second each.
        return float((spent - 1.5 * (workers - 1) * lasted) / 100)

    alone, together = await cost(1), await cost(10)
    assert together <= 2 * alone + 1, f"{alone:.2f} per job alone, {together:.2f} with ten"
