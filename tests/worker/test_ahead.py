"""With a backlog: claims of half the slots, each on its way while the last one's jobs start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from pgq_core import Job, PgQueuer
from pgq_core.db import AsyncpgPoolDriver
from pgq_core.worker import pace
from pgq_core.worker.attempts import Attempts
from pgq_core.worker.book import Running
from tests.worker.harness import Connection, bulk


async def test_claims_ahead_start_no_more_than_was_asked_for(
    pgq: PgQueuer, conn: Connection
) -> None:
    """With a backlog and many slots, claims overlap the work; `max_jobs` is kept to the job, and
    nothing that was claimed is left behind."""
    started = 0

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        nonlocal started
        started += 1

    await bulk(conn, 3000)
    await pgq.run(concurrency=400, max_jobs=1777)
    assert started == 1777
    assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 1777
    assert await conn.fetchval("SELECT count(*) FROM pgq_ready") == 3000 - 1777
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 0


@asynccontextmanager
async def overheard(database: str, told: list[Any]) -> AsyncIterator[PgQueuer]:
    """A PgQueuer with a handler for "work"; its claims as they leave, and the ids they bring."""

    class Told(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
            if "pgq_claim(" not in query:
                return await super().fetch(query, *args, **options)
            told.append("claim leaves")
            rows = await super().fetch(query, *args, **options)
            told.append({row["job_id"] for row in rows if row["job_id"] is not None})
            return rows

    async def connect() -> Connection:
        return await asyncpg.connect(database, connection_class=Told)

    async with asyncpg.create_pool(database, min_size=0) as pool:
        pgq = PgQueuer(AsyncpgPoolDriver(pool, connect))

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            pass

        yield pgq


async def test_with_a_backlog_claims_overlap_the_start_of_jobs(
    database: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backlog the database works on the next claim while the last one's jobs start."""
    told: list[Any] = []  # in order: each claim as it leaves, what it brings, each start
    start = Attempts.start

    def noted(self: Attempts, run: Running) -> None:
        told.append(run.job.id)
        start(self, run)

    monkeypatch.setattr(Attempts, "start", noted)
    await bulk(conn, 3000)
    async with overheard(database, told) as pgq:
        await pgq.run(concurrency=200, until_empty=True)
    assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 3000
    claims = [n for n, event in enumerate(told) if isinstance(event, set) and len(event) >= 50]
    ahead = [n for n in claims if told[n + 1] == "claim leaves"]
    assert len(ahead) >= len(claims) // 4, told


async def test_with_a_backlog_no_look_takes_every_slot(
    database: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backlog a claim that looks around, too, leaves half of the slots to the next."""
    told: list[Any] = []
    monkeypatch.setattr(pace, "BUSY_LOOK", 0.0)
    await bulk(conn, 3000)
    async with overheard(database, told) as pgq:
        await pgq.run(concurrency=200, until_empty=True)
    first, *others = [len(event) for event in told if isinstance(event, set) and event]
    assert first + sum(others) == 3000
    assert max(others) <= 100, others
