"""A transaction of ours, alone or within the caller's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgq_core.db.driver import Connection


@asynccontextmanager
async def begun(connection: Connection) -> AsyncIterator[None]:
    """A transaction, or a savepoint in one: READ COMMITTED, whatever the role's default is.

    Our functions look again after a lock wait; under REPEATABLE READ they would not see more.
    """
    if not connection.is_in_transaction():
        async with connection.transaction(isolation="read_committed"):
            yield
        return
    # Not by asyncpg's transaction(), which refuses one that was begun by a BEGIN of the caller's.
    await connection.execute("SAVEPOINT pgq")
    try:
        yield
    except BaseException:
        await connection.execute("ROLLBACK TO SAVEPOINT pgq; RELEASE SAVEPOINT pgq")
        raise
    await connection.execute("RELEASE SAVEPOINT pgq")
