"""A transaction on a connection of the caller's that this block ends: commit, or rollback."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pgq_core.borrowed.kinds import ASYNCPG, SESSION, SESSION_ASYNC, kind_of
from pgq_core.errors import InvalidInput


@asynccontextmanager
async def ending(connection: Any) -> AsyncIterator[Any]:
    """Commit at the end of the block, roll back on an error, whatever library it is of.

    What the caller did on the connection before belongs to the transaction. Raises InvalidInput
    where a commit here would be none.
    """
    if kind_of(connection) is ASYNCPG:
        async with _begin_asyncpg(connection):
            yield connection
        return
    await _refuse_autocommit(connection)
    try:
        yield connection
        await _done(connection.commit())
    except BaseException:
        await _done(connection.rollback())
        raise


def _begin_asyncpg(connection: Any) -> Any:
    if not hasattr(connection, "transaction"):
        raise InvalidInput("transaction(connection=) is a pool; leave it out, or acquire from it")
    if connection.is_in_transaction():
        raise InvalidInput(
            "transaction(connection=) is inside a transaction already; the block ends its own: "
            "open none yourself"
        )
    return connection.transaction()


async def _refuse_autocommit(connection: Any) -> None:
    if getattr(await _innermost(connection), "autocommit", False) is True:
        raise InvalidInput(
            "transaction(connection=) is in autocommit mode, where each statement is a transaction "
            "of its own; set autocommit to False, or SQLAlchemy's isolation_level to another than "
            "AUTOCOMMIT"
        )


async def _innermost(connection: Any) -> Any:
    """The driver's connection, of which SQLAlchemy's sessions and connections are wrappers."""
    if kind_of(connection) in (SESSION, SESSION_ASYNC):
        connection = await _done(connection.connection())
    connection = getattr(connection, "sync_connection", connection)
    pooled = getattr(connection, "connection", None)
    return getattr(pooled, "dbapi_connection", connection)


async def _done(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found
