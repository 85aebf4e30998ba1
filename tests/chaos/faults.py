"""The faults, each a coroutine on the stage; the list says how often each is drawn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg

from pgq_core.db import DISCONNECTED

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

Fault = Callable[["Stage", random.Random], Awaitable[None]]
VICTIMS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE $1
"""


async def kill_worker(stage: Stage, chance: random.Random) -> None:
    """SIGKILL one worker; another takes its place."""
    await stage.replace_worker(chance.randrange(len(stage.workers)), signal.SIGKILL)


async def kill_producer(stage: Stage, chance: random.Random) -> None:
    """SIGKILL one producer in the middle of whatever it does."""
    await stage.replace_producer(chance.randrange(len(stage.producers)))


async def deploy(stage: Stage, chance: random.Random) -> None:
    """SIGTERM one worker and start a new one."""
    await stage.replace_worker(chance.randrange(len(stage.workers)), signal.SIGTERM)


async def suspend(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP a worker for longer than its lease, then let it go on as a zombie."""
    process = chance.choice(stage.workers)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(stage.lease * chance.uniform(1.2, 2.0))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


async def terminate(stage: Stage, chance: random.Random) -> None:
    """End backends by what they last did: claimers, flushers, sentinels, anybody."""
    role = chance.choice(("%pgq_claim%", "%pgq_finish%", "%pgq_workers%", "%pgq_notify%", "%"))
    async with stage.admin() as connection:
        await connection.fetch(VICTIMS, role)


async def restart(stage: Stage, chance: random.Random) -> None:
    """Restart the server, politely or by crash."""
    async with stage.restarting:
        await asyncio.to_thread(stage.server.restart, chance.choice(("fast", "immediate")))


async def reset(stage: Stage, _: random.Random) -> None:
    """Cut every connection that goes through the proxy."""
    stage.proxy.reset()


async def lose_answers(stage: Stage, chance: random.Random) -> None:
    """Statements and commits take effect, their answers are lost."""
    await stage.proxy.lose_answers(chance.uniform(0.01, 0.2))


async def black_hole(stage: Stage, chance: random.Random) -> None:
    """Half-open connections: nothing comes back, nothing is refused."""
    await stage.proxy.black_hole(chance.uniform(0.5, 1.5) * stage.lease)


async def hold_snapshot(stage: Stage, chance: random.Random) -> None:
    """A forgotten transaction, reading or having written."""
    async with stage.admin() as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        await connection.fetchval("SELECT count(*) FROM pgq_lanes")
        if chance.random() < 0.5:
            await connection.execute("CREATE TEMP TABLE held (id int) ON COMMIT DROP")
            await connection.execute("INSERT INTO held VALUES (1)")
        await asyncio.sleep(chance.uniform(0.5, 3))
        await transaction.rollback()


async def rebuild(stage: Stage, chance: random.Random) -> None:
    """VACUUM FULL, REINDEX or ANALYZE of a hot table while everybody works."""
    table = chance.choice(("pgq_ready", "pgq_leases", "pgq_attempts", "pgq_jobs"))
    verb = chance.choice(("VACUUM FULL", "REINDEX TABLE", "VACUUM ANALYZE"))
    async with stage.admin() as connection:
        await connection.execute(f"{verb} {table}", timeout=20)


FAULTS: list[tuple[Fault, int]] = [
    (kill_worker, 8),
    (deploy, 2),
    (kill_producer, 1),
    (suspend, 2),
    (terminate, 4),
    (reset, 2),
    (lose_answers, 3),
    (black_hole, 1),
    (hold_snapshot, 2),
    (rebuild, 2),
    (restart, 1),
]
ANY_ERROR = (*DISCONNECTED, asyncpg.PostgresError)
