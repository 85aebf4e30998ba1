"""The handler's effects and the job's completion in one commit, on the handler's own session."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from pgq_core import Context, Job, PgQueuer
from pgq_core.db import AsyncpgPoolDriver
from pgq_core.errors import InvalidInput
from tests.connections.desks import AUTOCOMMIT, DESKS, OpenDesk

MAKE = "CREATE TABLE effects (job bigint)"


async def work(database: str, handler: Any) -> PgQueuer:
    """Enqueue one job for the handler and run it to its end."""
    async with asyncpg.create_pool(database, min_size=0) as pool:
        pgq = PgQueuer(AsyncpgPoolDriver(pool))
        pgq.entrypoint("effect", transactional=True, max_attempts=1)(handler)
        await pgq.enqueue("effect")
        await pgq.run(until_empty=True)
    return pgq


@pytest.mark.parametrize("open_desk", DESKS)
async def test_effect_and_outcome_share_a_commit(
    database: str, conn: asyncpg.Connection[Any], open_desk: OpenDesk
) -> None:
    """`context.transaction(connection=session)` commits your effects with the job's completion."""
    await conn.execute(MAKE)

    async def handler(job: Job, context: Context) -> None:
        async with open_desk(database, PgQueuer()) as desk:
            await desk.do(desk.rollback)  # ours to begin
            async with context.transaction({"done": True}, connection=desk.connection):
                await desk.do(desk.execute, f"INSERT INTO effects VALUES ({job.id})")
                assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 0
            assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 1

    await work(database, handler)
    row = await conn.fetchrow("SELECT outcome, result, xmin::text FROM pgq_attempts")
    assert row is not None
    assert (row["outcome"], row["result"]) == ("succeeded", '{"done": true}')
    assert await conn.fetchval("SELECT xmin::text FROM effects") == row["xmin"]


@pytest.mark.parametrize("open_desk", DESKS)
async def test_error_takes_the_effect_back(
    database: str, conn: asyncpg.Connection[Any], open_desk: OpenDesk
) -> None:
    """If the block raises, your effects are rolled back and the job is not completed."""
    await conn.execute(MAKE)

    async def handler(job: Job, context: Context) -> None:
        async with open_desk(database, PgQueuer()) as desk:
            await desk.do(desk.rollback)
            async with context.transaction(connection=desk.connection):
                await desk.do(desk.execute, f"INSERT INTO effects VALUES ({job.id})")
                raise ValueError("no")

    await work(database, handler)
    assert await conn.fetchval("SELECT outcome FROM pgq_attempts") == "failed"
    assert await conn.fetchval("SELECT count(*) FROM effects") == 0


@pytest.mark.parametrize("open_desk", DESKS)
async def test_lost_lease_takes_the_effect_back(
    database: str, conn: asyncpg.Connection[Any], open_desk: OpenDesk
) -> None:
    """A worker that lost its lease cannot commit: its effects are rolled back."""
    await conn.execute(MAKE)
    seen: list[str] = []

    async def handler(job: Job, context: Context) -> None:
        async with open_desk(database, PgQueuer()) as desk:
            await desk.do(desk.rollback)
            try:
                async with context.transaction(connection=desk.connection):
                    await desk.do(desk.execute, f"INSERT INTO effects VALUES ({job.id})")
                    await conn.execute("DELETE FROM pgq_leases")
            except Exception as error:
                seen.append(type(error).__name__)
                raise

    await work(database, handler)
    assert seen == ["LeaseLost"]
    assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 0
    assert await conn.fetchval("SELECT count(*) FROM effects") == 0


@pytest.mark.parametrize("open_desk", AUTOCOMMIT)
async def test_autocommit_is_refused(
    database: str, conn: asyncpg.Connection[Any], open_desk: OpenDesk
) -> None:
    """A connection in autocommit mode cannot complete a job, and is refused before any effect."""
    await conn.execute(MAKE)
    seen: list[str] = []

    async def handler(job: Job, context: Context) -> None:
        async with open_desk(database, PgQueuer()) as desk:
            with pytest.raises(InvalidInput, match="autocommit") as caught:
                async with context.transaction(connection=desk.connection):
                    await desk.do(desk.execute, f"INSERT INTO effects VALUES ({job.id})")
            seen.append(str(caught.value))

    await work(database, handler)
    assert len(seen) == 1
    assert await conn.fetchval("SELECT count(*) FROM effects") == 0
