"""Which library a connection is of, told by its classes' names; nothing is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pgq_core.borrowed import through
from pgq_core.errors import InvalidInput, SchemaMissing
from pgq_core.sql import Statement

Rows = Sequence[Mapping[str, Any]]
UNDEFINED = ("42P01", "42883", "3F000")  # table, function, schema


@dataclass(frozen=True)
class Kind:
    """How one kind of connection runs a statement; `fetch` gives rows, or awaits them."""

    name: str
    fetch: Callable[[Any, Statement, dict[str, Any]], Any]
    blocking: bool = False


ASYNCPG = Kind("asyncpg", through.asyncpg)
PSYCOPG = Kind("psycopg", through.psycopg, blocking=True)
PSYCOPG_ASYNC = Kind("psycopg, async", through.psycopg_async)
PSYCOPG2 = Kind("psycopg2", through.psycopg2, blocking=True)
CONNECTION = Kind("SQLAlchemy", through.connection, blocking=True)
SESSION = Kind("SQLAlchemy session", through.session, blocking=True)
CONNECTION_ASYNC = Kind("SQLAlchemy, async", through.connection_async)
SESSION_ASYNC = Kind("SQLAlchemy session, async", through.session_async)

KINDS = {
    "asyncpg.connection.Connection": ASYNCPG,
    "asyncpg.pool.PoolConnectionProxy": ASYNCPG,
    "asyncpg.pool.Pool": ASYNCPG,
    "psycopg.Connection": PSYCOPG,
    "psycopg.AsyncConnection": PSYCOPG_ASYNC,
    "psycopg2.extensions.connection": PSYCOPG2,
    "sqlalchemy.engine.base.Connection": CONNECTION,
    "sqlalchemy.orm.session.Session": SESSION,
    "sqlalchemy.orm.scoping.scoped_session": SESSION,
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": CONNECTION_ASYNC,
    "sqlalchemy.ext.asyncio.session.AsyncSession": SESSION_ASYNC,
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": SESSION_ASYNC,
}


@lru_cache(maxsize=256)
def _kind_of(cls: type) -> Kind | None:
    for base in cls.__mro__:
        kind = KINDS.get(f"{base.__module__}.{base.__qualname__}")
        if kind is not None:
            return kind
    # A driver of our own, or something that wraps an asyncpg connection.
    return ASYNCPG if hasattr(cls, "fetch") else None


def kind_of(connection: Any) -> Kind:
    """The kind of a connection. Raises InvalidInput for what we cannot use."""
    cls: type = type(connection)
    kind = _kind_of(cls)
    if kind is None:
        raise InvalidInput(
            f"connection= is a {type(connection).__module__}.{type(connection).__qualname__}; give "
            "an asyncpg connection or pool, a psycopg connection, or a SQLAlchemy (SQLModel) "
            "session or connection"
        )
    return kind


async def fetch(connection: Any, statement: Statement, values: dict[str, Any], schema: str) -> Rows:
    """Run a statement on a connection of any kind; a blocking one blocks, as its owner chose."""
    kind = kind_of(connection)
    try:
        found = kind.fetch(connection, statement, values)
        rows: Rows = found if kind.blocking else await found
    except Exception as error:
        if is_missing(error):
            raise SchemaMissing(schema) from error
        raise
    return rows


def fetch_sync(connection: Any, statement: Statement, values: dict[str, Any], schema: str) -> Rows:
    """The same without a loop. Raises InvalidInput for a connection that must be awaited."""
    kind = kind_of(connection)
    if not kind.blocking:
        raise InvalidInput(
            f"connection= is asynchronous ({kind.name}); use `await pgq.enqueue(…)`, or give a "
            "psycopg connection or a SQLAlchemy Session"
        )
    try:
        rows: Rows = kind.fetch(connection, statement, values)
    except Exception as error:
        if is_missing(error):
            raise SchemaMissing(schema) from error
        raise
    return rows


def is_missing(error: Exception) -> bool:
    """Whether a driver's error means that our tables or functions are not there."""
    original = getattr(error, "orig", None) or error
    return (getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)) in UNDEFINED
