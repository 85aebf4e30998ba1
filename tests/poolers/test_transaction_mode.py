"""PgBouncer in transaction mode: everything works, notifications and session locks apart."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
import pytest

from pgq_core import Job, JobState, NewJob, PgQueuer
from pgq_core.cli.watching import find_notes, find_problems
from pgq_core.queries import ear
from tests.poolers.workers import working
from tests.support import eventually


async def test_enqueue_and_work(pooled: str) -> None:
    """Enqueueing and working go through PgBouncer in transaction mode without any setting."""
    seen: set[int] = set()
    async with PgQueuer.connect(pooled) as pgq:

        @pgq.entrypoint("count", backoff=0)
        async def count(job: Job) -> None:
            if job.attempt == 1 and job.json() % 10 == 0:
                raise RuntimeError("once")
            seen.add(job.json())

        await asyncio.gather(*(pgq.enqueue("count", number) for number in range(50)))
        await pgq.enqueue_many([NewJob("count", number) for number in range(50, 300)])
        await pgq.run(until_empty=True, concurrency=20)
        assert seen == set(range(300))
        assert (await pgq.queries.counts())["count"] == {"succeeded": 300}


async def test_transactional_enqueue(pooled: str, conn: asyncpg.Connection[Any]) -> None:
    """A job enqueued in a transaction through the pooler is gone if that is rolled back."""
    connection = await asyncpg.connect(pooled, statement_cache_size=0)
    transaction = connection.transaction()
    await transaction.start()
    await PgQueuer().enqueue("mail", connection=connection)
    await transaction.rollback()
    await connection.close()
    assert await conn.fetchval("SELECT count(*) FROM pgq_jobs") == 0


async def test_polling_workers_say_so(
    pooled: str, conn: asyncpg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that hears no notifications says so once and in `health`, polls, takes no lock."""
    done = asyncio.Event()
    caplog.set_level(logging.INFO, "pgq_core")
    async with PgQueuer.connect(pooled) as pgq:

        @pgq.entrypoint("ring")
        async def ring(job: Job) -> None:
            done.set()

        async with working(pgq, lease=1.5):
            await eventually(
                lambda: conn.fetchval("SELECT listener = 'polling' FROM pgq_workers"),
                what="it polls",
            )
            health = await pgq.queries.health()
            assert (health["polling_workers"], health["deaf_workers"]) == (1, 0)
            assert find_problems(health, 300, None) == []
            [note] = find_notes(health)
            assert "1 polling" in note
            first = await conn.fetchval("SELECT beat_at FROM pgq_workers")
            await eventually(
                lambda: conn.fetchval("SELECT beat_at > $1 FROM pgq_workers", first), what="a beat"
            )
            assert await conn.fetchval("SELECT locked_at IS NULL FROM pgq_workers")
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            assert await conn.fetchval(locks) == 0
            await pgq.enqueue("ring")
            await asyncio.wait_for(done.wait(), 10)
    said = [r.message for r in caplog.records if "notifications do not arrive" in r.message]
    assert len(said) == 1


async def test_a_direct_line_that_is_none(pooled: str, conn: asyncpg.Connection[Any]) -> None:
    """A `listen_dsn=` that leads through the pooler is a mistake: the worker is deaf, `health` is
    degraded."""
    async with PgQueuer.connect(pooled) as pgq:
        pgq.entrypoint("ring")(lambda job: None)
        async with working(pgq, listen_dsn=pooled):
            await eventually(
                lambda: conn.fetchval("SELECT listener = 'deaf' FROM pgq_workers"), what="deaf"
            )
            [problem] = find_problems(await pgq.queries.health(), 300, None)
            assert "should hear notifications" in problem


async def test_polling_workers_are_not_woken(pooled: str, conn: asyncpg.Connection[Any]) -> None:
    """A worker that hears nothing never says that it is idle: producers would wake it in vain."""
    runs: asyncio.Queue[int] = asyncio.Queue()
    async with PgQueuer.connect(pooled) as pgq:

        @pgq.entrypoint("ring")
        async def ring(job: Job) -> None:
            runs.put_nowait(job.id)

        async with working(pgq):
            for _ in range(2):  # the second is found by a worker that was idle in between
                await pgq.enqueue("ring")
                await asyncio.wait_for(runs.get(), 10)
        assert await conn.fetchval("SELECT last_value FROM pgq_idle") == 0


async def test_results_are_polled_for(
    pooled: str, conn: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` through a pooler looks now and then, and asks nobody to notify it in vain."""
    monkeypatch.setattr(ear, "PATIENCE", 0.0)
    async with PgQueuer.connect(pooled) as pgq:
        id_ = await pgq.enqueue("ring", check=False)
        waiting = asyncio.create_task(pgq.queries.wait(id_, 20))

        async def given_up() -> bool:
            return pgq.queries._ear._useless

        await eventually(given_up, what="it has seen the pooler")
        await pgq.queries.cancel([id_])
        assert (await waiting).state is JobState.CANCELLED
    assert await conn.fetchval("SELECT last_value FROM pgq_waiting") == 0


async def test_prepared_statements_are_not_kept(
    pooled: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pooler is recognised, and no statement is kept prepared behind it; said in the log."""
    caplog.set_level(logging.INFO, "pgq_core")
    async with PgQueuer.connect(database):
        assert not caplog.records
    async with PgQueuer.connect(pooled) as pgq:
        connection = await pgq.queries.driver.connect()
        assert await connection.fetch("SELECT name FROM pg_prepared_statements") == []
        await connection.close()
    assert "through a pooler" in caplog.text


async def test_the_cache_can_be_forced(pooled: str) -> None:
    """A pooler that tracks prepared statements may be used with them: the setting given counts."""
    async with PgQueuer.connect(pooled, statement_cache_size=7) as pgq:
        connection = await pgq.queries.driver.connect()
        await connection.fetch("SELECT 7 AS seven")
        kept = await connection.fetch("SELECT statement FROM pg_prepared_statements")
        assert "SELECT 7 AS seven" in [row["statement"] for row in kept]
        await connection.execute("DEALLOCATE ALL")
        await connection.close()
