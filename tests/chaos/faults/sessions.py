"""Sessions in the database: ended by somebody, or open for too long."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import asyncpg

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

BY_QUERY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE $1
"""
BY_LOCK = """
SELECT pg_terminate_backend(l.pid)
FROM pg_locks AS l
INNER JOIN pgq_workers AS w
    ON (l.classid::bigint << 32) | l.objid::bigint = pgq_worker_key(w.worker_id)
WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
"""


async def terminate_claimers(stage: Stage, _: random.Random) -> None:
    """pg_terminate_backend for everybody whose last statement was a claim."""
    await terminate(stage, "terminate_claimers", BY_QUERY, "%pgq_claim%")


async def terminate_flushers(stage: Stage, _: random.Random) -> None:
    """pg_terminate_backend for everybody whose last statement wrote outcomes."""
    await terminate(stage, "terminate_flushers", BY_QUERY, "%pgq_finish%")


async def terminate_listeners(stage: Stage, _: random.Random) -> None:
    """pg_terminate_backend for the sessions that listen and hold a worker's lock."""
    await terminate(stage, "terminate_listeners", BY_LOCK)


async def terminate_beats(stage: Stage, _: random.Random) -> None:
    """pg_terminate_backend for everybody whose last statement was a beat."""
    await terminate(stage, "terminate_beats", BY_QUERY, "%beaten AS (%")


async def terminate(stage: Stage, name: str, statement: str, *arguments: str) -> None:
    """End them all."""
    async with stage.admin() as connection:
        stage.happen(name)
        await connection.fetch(statement, *arguments)


async def enqueue_slowly(stage: Stage, chance: random.Random) -> None:
    """A transaction that enqueues now and then, and commits or rolls back seconds later."""
    stage.happen("enqueue_slowly")
    async with stage.admin() as connection:
        transaction, jobs = connection.transaction(), []
        await transaction.start()
        for _ in range(chance.randint(2, 6)):
            statement = "INSERT INTO pgq_jobs (entrypoint) VALUES ('quick') RETURNING id"
            jobs.append(await connection.fetchval(statement))
            await asyncio.sleep(chance.uniform(0.5, 2))
        keep = chance.random() < 0.9
        await (transaction.commit() if keep else transaction.rollback())
        for job in jobs:
            stage.log.note("committed-later" if keep else "rolled-back", job)


async def old_snapshot(stage: Stage, chance: random.Random) -> None:
    """A reader holds its snapshot for seconds, as a report or a backup does."""
    stage.happen("old_snapshot")
    async with stage.admin() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("SELECT count(*) FROM pgq_ready")
        await asyncio.sleep(chance.uniform(3, 10))


async def idle_in_transaction(stage: Stage, chance: random.Random) -> None:
    """A transaction that has written stays open for seconds."""
    stage.happen("idle_in_transaction")
    async with stage.admin() as connection, connection.transaction():
        await connection.execute("INSERT INTO chaos_held DEFAULT VALUES")
        await asyncio.sleep(chance.uniform(3, 10))


async def exhaust_the_server(stage: Stage, chance: random.Random) -> None:
    """Somebody takes every connection the server has left, for a while."""
    stage.happen("exhaust_the_server")
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(asyncpg.PostgresError):
            while True:
                await stack.enter_async_context(stage.admin())
        await asyncio.sleep(chance.uniform(1, 4))


FAULTS = (
    Fault(terminate_claimers, 2),
    Fault(terminate_flushers, 2),
    Fault(terminate_listeners, 2),
    Fault(terminate_beats, 2),
    Fault(enqueue_slowly, 2, calm=True),
    Fault(old_snapshot, 1, calm=True),
    Fault(idle_in_transaction, 1, calm=True),
    Fault(exhaust_the_server, 1, alone="server"),
)
