"""The server itself: restarted, rebuilt, dumped."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import asyncpg

from pgq_core.db.trouble import DISCONNECTED
from tests.chaos.faults.fault import Fault, to_its_end
from tests.sql.test_dump import tools

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

QUEUED = """
SELECT extract(epoch FROM coalesce(max(clock_timestamp() - query_start), '0'))::float
FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND wait_event = 'relation' AND query LIKE '%pgq%'
    AND query NOT LIKE 'VACUUM%' AND query NOT LIKE 'REINDEX%' AND application_name <> 'pg_dump'
"""
HOT = ("pgq_ready", "pgq_deferred", "pgq_leases", "pgq_attempts", "pgq_jobs", "pgq_holders")
SERVER = "server"


async def restart_fast(stage: Stage, _: random.Random) -> None:
    """The server is restarted, in order."""
    stage.happen("restart_fast")
    await to_its_end(asyncio.to_thread(stage.server.restart, "fast"))


async def restart_immediate(stage: Stage, _: random.Random) -> None:
    """The server crashes and recovers."""
    stage.happen("restart_immediate")
    await to_its_end(asyncio.to_thread(stage.server.restart, "immediate"))


async def rebuild(stage: Stage, chance: random.Random) -> None:
    """VACUUM FULL of one hot table, REINDEX of another, and pg_dump of all, at the same time."""
    full, index = chance.sample(HOT, 2)
    stage.happen("rebuild")
    watching = asyncio.ensure_future(watch(stage))
    try:
        await asyncio.gather(
            execute(stage, f"VACUUM FULL {full}"),
            execute(stage, f"REINDEX TABLE {index}"),
            dump(stage),
            return_exceptions=True,
        )
    finally:
        watching.cancel()


async def watch(stage: Stage) -> None:
    """How long, meanwhile, statements of workers and producers wait for a table's lock."""
    while True:
        with contextlib.suppress(*DISCONNECTED, asyncpg.PostgresError):
            async with stage.admin() as connection:
                while True:
                    stage.queued = max(stage.queued, await connection.fetchval(QUEUED))
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)


async def execute(stage: Stage, statement: str) -> None:
    """One statement on a connection of its own."""
    async with stage.admin() as connection:
        await connection.execute(statement, timeout=20)


async def dump(stage: Stage) -> None:
    """Dump everything to nowhere."""
    place = await asyncio.to_thread(tools, stage.server.dsn())
    if place is None:
        stage.notes.append("pg_dump is not installed: nothing was dumped")
        return
    process = await asyncio.create_subprocess_exec(
        str(place / "pg_dump"),
        "--file",
        "/dev/null",
        stage.server.dsn(),
        stderr=asyncio.subprocess.DEVNULL,  # it, too, loses its connection now and then
    )
    try:
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


FAULTS = (
    Fault(restart_fast, 1, alone=SERVER),
    Fault(restart_immediate, 1, forgets=True, alone=SERVER),
    Fault(rebuild, 2, calm=True, alone="rebuild"),
)
