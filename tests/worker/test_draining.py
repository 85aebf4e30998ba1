"""`until_empty` beside other workers: those that died, and those that live."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.queries import Queries
from tests.support import eventually
from tests.worker.harness import Connection, Processes, finished, outcomes, working

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
