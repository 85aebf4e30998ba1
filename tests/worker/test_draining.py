"""`until_empty` beside other workers: those that died, and those that live."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from pgq_core import Context, Job, NewJob, PgQueuer
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.lane import WINDOW
from tests.support import eventually
from tests.worker.harness import Connection, Processes, bulk, finished, outcomes, working

pytestmark = pytest.mark.timeout(60)


async def until_registered(conn: Connection) -> None:
    """Wait until a worker is there that holds no lock."""

    async def there() -> bool:
        return bool(await conn.fetchval("SELECT count(*) = 1 FROM pgq_workers"))

    await eventually(there)


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, id="direct"), pytest.param({"listen": False, "lease": 4.0}, id="pooled")],
)
async def test_the_jobs_of_one_that_was_just_killed(
    processes: Processes, queries: Queries, conn: Connection, options: dict[str, Any]
) -> None:
    """`until_empty` does not end before it has run the jobs of a worker that was killed just now."""
    first = processes.spawn(**options)
    await until_registered(conn)
    (job,) = await queries.enqueue("nap", {"seconds": 60, "again": 0})
    await processes.log.soon("start", job)
    processes.kill(first)
    assert await asyncio.to_thread(processes.spawn(until_empty=True).wait, 30) == 0
    assert await finished(conn, job) == ["succeeded"]
    assert await outcomes(conn, job) == ["lost", "succeeded"]


@pytest.mark.parametrize("listen", [True, False], ids=["direct", "pooled"])
async def test_the_jobs_of_one_that_lives(
    pgq: PgQueuer, other: PgQueuer, conn: Connection, listen: bool
) -> None:
    """`until_empty` does not wait for jobs that run on another worker which lives."""
    started, release = asyncio.Event(), asyncio.Event()

    @other.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await release.wait()

    pgq.entrypoint("work")(work)
    async with working(other, listen=listen, lease=1.0):
        job = await pgq.enqueue("work")
        await started.wait()
        await asyncio.wait_for(pgq.run(until_empty=True), 15)
        assert not release.is_set()
        release.set()
        assert await finished(conn, job) == ["succeeded"]
    assert await outcomes(conn, job) == ["succeeded"]


async def left(conn: Connection) -> int:
    """How many jobs are due and have not started."""
    count: int = await conn.fetchval(
        "SELECT (SELECT count(*) FROM pgq_ready)"
        " + (SELECT count(*) FROM pgq_deferred WHERE run_at <= clock_timestamp())"
    )
    return count


async def test_jobs_in_lanes_that_were_empty(pgq: PgQueuer, conn: Connection) -> None:
    """`until_empty` runs what handlers enqueue, among however many entrypoints."""
    lanes = 1000

    async def hop(job: Job, context: Context) -> None:
        if (left := int(job.payload)) > 0:
            await context.enqueue(f"hop{left * 97}", str(left - 1))

    for number in range(lanes):
        pgq.entrypoint(f"hop{number}")(hop)
    await pgq.enqueue_many([NewJob(f"hop{number}", "0") for number in range(lanes)])
    await pgq.run(until_empty=True)
    await pgq.enqueue("hop0", "10")
    await pgq.run(until_empty=True)
    assert await left(conn) == 0


async def test_a_claim_that_failed(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`until_empty` does not take trouble with the database for the end."""
    claim, failures = Claimer.claim_limited, [asyncpg.DeadlockDetectedError("once")]

    async def claim_limited(claimer: Claimer, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await claim(claimer, *arguments)

    monkeypatch.setattr(Claimer, "claim_limited", claim_limited)
    pgq.entrypoint("work", concurrency_limit=1)(lambda job: None)
    await pgq.enqueue("work")
    await pgq.run(until_empty=True)
    assert not failures
    assert await left(conn) == 0


@pytest.mark.parametrize("delay", [None, timedelta(milliseconds=10)], ids=["ready", "deferred"])
async def test_jobs_that_are_committed_late(
    pgq: PgQueuer, conn: Connection, connect: Any, delay: timedelta | None
) -> None:
    """`until_empty` does not overlook a job whose transaction ended long after its `INSERT`."""
    worker, late = pgq.worker(WorkerOptions(until_empty=True)), await connect()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None: ...

    @pgq.entrypoint("gate")
    async def gate(job: Job) -> None:
        async def passed() -> bool:
            if delay is None:
                return worker.lanes.unswept and await left(conn) == 0
            return worker.crew.claimer.due.mark > job.created_at + delay + timedelta(seconds=3)

        await eventually(passed, what="no claim and no look reads where the job is")
        # What would find it in passing comes too late.
        worker.pace.next_sweep = worker.crew.claimer.due.swept = time.monotonic() + 60
        await transaction.commit()

    transaction = late.transaction()
    await transaction.start()
    await pgq.enqueue("work", delay=delay, connection=late)
    await pgq.enqueue("gate")
    await bulk(conn, 2 * WINDOW)
    await asyncio.wait_for(pgq.run_worker(worker), 30)
    assert await left(conn) == 0
