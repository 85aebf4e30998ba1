"""Between us and the server there may be a pooler: PgBouncer in transaction mode, say.

There the next transaction may run in another server session, which others use too. So nothing may
be left in it: no prepared statement, no setting, no lock; and nothing that was left is found again.
"""

from __future__ import annotations

import logging
from typing import Any

import asyncpg

from pgq_core.db import AsyncpgPoolDriver, Connect, Connection, connector, plain_dsn
from pgq_core.sql import load

log = logging.getLogger("pgq_core.poolers")


async def behind_pooler(connection: Connection) -> bool:
    """Whether a pooler stands between: it names another process than the one that answers."""
    pid = await connection.fetchval(load("backend_pid", "").text, timeout=10)
    return bool(pid != connection.get_server_pid())


async def open_driver(
    dsn: str | None, max_size: int, settings: dict[str, Any]
) -> AsyncpgPoolDriver:
    """A driver on a pool of its own, after a look at what answers. Raises what asyncpg raises."""
    dsn = plain_dsn(dsn)
    probe = await asyncpg.connect(dsn, **{**settings, "statement_cache_size": 0})
    try:
        pooled = await behind_pooler(probe)
    finally:
        await probe.close()
    if not pooled:
        pool = await asyncpg.create_pool(
            dsn, min_size=0, max_size=max_size, reset=leave_alone, **settings
        )
        return AsyncpgPoolDriver(pool, connector(dsn, **settings))
    log.info("connected through a pooler: no statements are kept prepared")
    settings = {"statement_cache_size": 0, **settings}
    pool = await asyncpg.create_pool(
        dsn, min_size=0, max_size=max_size, init=learn_types, reset=leave_alone, **settings
    )
    return AsyncpgPoolDriver(pool, learned(connector(dsn, **settings)))


def learned(connect: Connect) -> Connect:
    """The same connections, with their types learned."""

    async def connect_and_learn() -> Connection:
        connection = await connect()
        await learn_types(connection)
        return connection

    return connect_and_learn


async def learn_types(connection: Connection) -> None:
    """Let asyncpg ask the server for our types now, in a transaction that is rolled back: while it
    asks it switches jit off for the session, and here the session is not ours."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.fetch(load("array_types", "").text)
    finally:
        await transaction.rollback()


async def leave_alone(_connection: Connection) -> None:
    """Instead of asyncpg's RESET ALL when a connection goes back to its pool."""
