"""One function per kind of connection: a statement goes in, rows with named columns come out.

A library that is not installed is never touched: whoever hands us its connection has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.sql import Statement

Values = dict[str, Any]
Rows = list[dict[str, Any]]


async def asyncpg(connection: Any, statement: Statement, values: Values) -> list[Any]:
    """asyncpg's connection, its pool's proxy, or the pool itself."""
    rows: list[Any] = await connection.fetch(statement.text, *statement.bind(values))
    return rows


def psycopg(connection: Any, statement: Statement, values: Values) -> Rows:
    """psycopg 3. The cursor is of the plain class, whatever the connection's own factories make."""
    with _library("psycopg").Cursor(connection, row_factory=as_dict) as cursor:
        rows: Rows = cursor.execute(statement.pyformat, values).fetchall()
        return rows


async def psycopg_async(connection: Any, statement: Statement, values: Values) -> Rows:
    """psycopg 3, asynchronous."""
    async with _library("psycopg").AsyncCursor(connection, row_factory=as_dict) as cursor:
        await cursor.execute(statement.pyformat, values)
        rows: Rows = await cursor.fetchall()
        return rows


def psycopg2(connection: Any, statement: Statement, values: Values) -> Rows:
    """psycopg2, with its plain cursor."""
    with connection.cursor(cursor_factory=_library("psycopg2.extensions").cursor) as cursor:
        cursor.execute(statement.pyformat, values)
        make = as_dict(cursor)
        return [make(row) for row in cursor.fetchall()]


def connection(connection: Any, statement: Statement, values: Values) -> Rows:
    """SQLAlchemy's Connection. Its driver stays wrapped: on asyncpg it has not sent BEGIN yet."""
    check_dialect(connection)
    return rows_of(connection.execute(clause(statement.colon), values))


async def connection_async(connection: Any, statement: Statement, values: Values) -> Rows:
    """SQLAlchemy's AsyncConnection."""
    check_dialect(connection)
    return rows_of(await connection.execute(clause(statement.colon), values))


def session(session: Any, statement: Statement, values: Values) -> Rows:
    """A Session, SQLModel's too: through the connection of its transaction, begun if need be."""
    return connection(session.connection(), statement, values)


async def session_async(session: Any, statement: Statement, values: Values) -> Rows:
    """An AsyncSession, SQLModel's too."""
    return await connection_async(await session.connection(), statement, values)


def as_dict(cursor: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """A row factory: column names and values."""
    names = [column[0] for column in cursor.description or ()]
    return lambda row: dict(zip(names, row, strict=True))


def rows_of(result: Any) -> Rows:
    """SQLAlchemy's rows by name."""
    return [dict(row) for row in result.mappings()]


def check_dialect(connection: Any) -> None:
    """Refuse a session on another database than PostgreSQL by name."""
    if connection.dialect.name != "postgresql":
        raise InvalidInput(
            f"connection= is a session on {connection.dialect.name}; the queue lives in "
            "PostgreSQL: give a session of that engine"
        )


@lru_cache(maxsize=256)
def clause(text: str) -> Any:
    """A statement as SQLAlchemy's text()."""
    return _library("sqlalchemy").text(text)


def _library(name: str) -> Any:
    return sys.modules[name]
