"""The FAQ on speed. Jobs per second belong to a machine; statements per job do not.

How many jobs a second that makes is measured by benchmarks/, see docs/benchmarks.md.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import asyncpg

from pgq_core import Job, PgQueuer
from pgq_core.db import AsyncpgDriver

JOBS = 5000
PER_JOB = 0.1


async def test_a_statement_serves_many_jobs(database: str, conn: Any) -> None:
    """5,000 simple jobs run once each, with fewer than one statement for ten of them."""
    calls: Counter[str] = Counter()

    class Counting(asyncpg.Connection):  # type: ignore[misc]
        async def fetch(self, *args: Any, **kwargs: Any) -> Any:
            calls["fetch"] += 1
            return await super().fetch(*args, **kwargs)

        async def execute(self, *args: Any, **kwargs: Any) -> Any:
            calls["execute"] += 1
            return await super().execute(*args, **kwargs)

    async def open_one() -> Any:
        return await asyncpg.connect(database, connection_class=Counting)

    connection = await open_one()
    pgq = PgQueuer(AsyncpgDriver(connection, open_one))
    ran: Counter[int] = Counter()

    @pgq.entrypoint("simple")
    async def simple(job: Job) -> None:
        ran[job.id] += 1

    ids = await pgq.queries.enqueue(["simple"] * JOBS, [b"{}"] * JOBS)
    assert calls.total() == 1  # one statement for the whole batch
    await pgq.run(until_empty=True)
    await connection.close()

    assert ran == Counter(ids)
    assert (
        await conn.fetchval("SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'") == JOBS
    )
    assert calls.total() / JOBS < PER_JOB


async def test_many_jobs_share_a_transaction(database: str, conn: Any) -> None:
    """The history shows it: the outcomes of 5,000 jobs were committed in a few transactions."""
    async with PgQueuer.connect(database) as pgq:

        @pgq.entrypoint("simple")
        async def simple(job: Job) -> None: ...

        await pgq.queries.enqueue(["simple"] * JOBS)
        await pgq.run(until_empty=True)
    commits = await conn.fetchval("SELECT count(DISTINCT xmin::text) FROM pgq_attempts")
    assert commits < JOBS * PER_JOB
