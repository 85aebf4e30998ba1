"""One desk per kind of connection: the same few gestures, each in the words of its library."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import asyncpg
import psycopg
import pytest

from pgq_core import NewJob, PgQueuer


@dataclass
class Desk:
    """A caller's connection with a transaction of its own, and an enqueue that joins it."""

    connection: Any
    pgq: PgQueuer
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    savepoint: Callable[[], AbstractAsyncContextManager[Any]]
    execute: Callable[[str], Any]
    blocking: bool = False

    async def enqueue(self, entrypoint: str = "mail", payload: Any = None, **options: Any) -> int:
        if self.blocking:
            return self.pgq.enqueue_sync(
                entrypoint, payload, connection=self.connection, check=False, **options
            )
        return await self.pgq.enqueue(
            entrypoint, payload, connection=self.connection, check=False, **options
        )

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Any]:
        if self.blocking:
            return self.pgq.enqueue_many_sync(jobs, connection=self.connection, check=False)
        return await self.pgq.enqueue_many(jobs, connection=self.connection, check=False)

    async def do(self, gesture: Callable[..., Any], *arguments: Any) -> Any:
        """Call commit, rollback or execute, and await it where the library wants that."""
        found = gesture(*arguments)
        return await found if inspect.isawaitable(found) else found

    @asynccontextmanager
    async def rolled_back_savepoint(self) -> AsyncIterator[None]:
        """A savepoint that ends in a rollback."""
        try:
            async with self.savepoint():
                yield
                raise _Undo
        except _Undo:
            pass


class _Undo(Exception):
    """Ends a savepoint."""


OpenDesk = Callable[[str, PgQueuer], AbstractAsyncContextManager[Desk]]


@asynccontextmanager
async def on_asyncpg(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield Desk(
            connection, pgq, transaction.commit, transaction.rollback,
            connection.transaction, connection.execute,
        )  # fmt: skip
    finally:
        await connection.close()


@asynccontextmanager
async def on_pooled_asyncpg(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    async with asyncpg.create_pool(dsn, min_size=0) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Desk(
            connection, pgq, transaction.commit, transaction.rollback,
            connection.transaction, connection.execute,
        )  # fmt: skip


@asynccontextmanager
async def on_psycopg_async(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield Desk(
            connection, pgq, connection.commit, connection.rollback,
            connection.transaction, connection.execute,
        )  # fmt: skip


@asynccontextmanager
async def on_psycopg(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    with psycopg.connect(dsn) as connection:
        yield Desk(
            connection, pgq, connection.commit, connection.rollback,
            _awaited(connection.transaction), connection.execute, blocking=True,
        )  # fmt: skip


@asynccontextmanager
async def on_odd_psycopg(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    """Factories of the owner's: rows as bare scalars, cursors that want $1."""
    with psycopg.connect(
        dsn, row_factory=psycopg.rows.scalar_row, cursor_factory=psycopg.RawCursor
    ) as connection:
        yield Desk(
            connection, pgq, connection.commit, connection.rollback,
            _awaited(connection.transaction), connection.execute, blocking=True,
        )  # fmt: skip


@asynccontextmanager
async def on_autocommit_psycopg(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    async with on_psycopg(dsn, pgq) as desk:
        desk.connection.autocommit = True
        yield desk


@asynccontextmanager
async def on_psycopg2(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
    import psycopg2

    def execute(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    @asynccontextmanager
    async def savepoint() -> AsyncIterator[None]:
        execute("SAVEPOINT ours")
        try:
            yield
        except BaseException:
            execute("ROLLBACK TO SAVEPOINT ours")
            raise

    with closing(psycopg2.connect(dsn)) as connection:
        yield Desk(
            connection, pgq, connection.commit, connection.rollback, savepoint, execute,
            blocking=True,
        )  # fmt: skip


def on_sqlalchemy(driver: str, make: str, **options: Any) -> OpenDesk:
    """A Session or Connection, synchronous or not, SQLAlchemy's or SQLModel's, on a driver."""

    @asynccontextmanager
    async def desk(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
        from sqlalchemy import NullPool, create_engine, text

        engine = create_engine(_url(dsn, driver), poolclass=NullPool, **options)
        opened = engine.connect() if make == "connection" else _session_class(make)(engine)
        with opened as caller:
            yield Desk(
                caller, pgq, caller.commit, caller.rollback, _awaited(caller.begin_nested),
                lambda statement: caller.execute(text(statement)), blocking=True,
            )  # fmt: skip

    return desk


def on_sqlalchemy_async(driver: str, make: str, **options: Any) -> OpenDesk:
    """The same, asynchronous."""

    @asynccontextmanager
    async def desk(dsn: str, pgq: PgQueuer) -> AsyncIterator[Desk]:
        from sqlalchemy import NullPool, text
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(_url(dsn, driver), poolclass=NullPool, **options)
        opened = engine.connect() if make == "connection" else _async_session_class(make)(engine)
        async with opened as caller:

            async def execute(statement: str) -> None:
                own = caller if make == "connection" else await caller.connection()
                await own.execute(text(statement))

            yield Desk(caller, pgq, caller.commit, caller.rollback, caller.begin_nested, execute)

    return desk


def _session_class(make: str) -> Any:
    if make == "sqlmodel":
        import sqlmodel

        return sqlmodel.Session
    from sqlalchemy import orm

    return orm.Session if make == "session" else _scoped(orm)


def _scoped(orm: Any) -> Any:
    return lambda engine: _Closing(orm.scoped_session(orm.sessionmaker(engine)))


def _async_session_class(make: str) -> Any:
    if make == "sqlmodel":
        from sqlmodel.ext.asyncio.session import AsyncSession

        return AsyncSession
    from sqlalchemy.ext import asyncio as sqlalchemy

    return sqlalchemy.AsyncSession


class _Closing:
    """A scoped session is no context manager."""

    def __init__(self, scoped: Any) -> None:
        self.scoped = scoped

    def __enter__(self) -> Any:
        return self.scoped

    def __exit__(self, *_: object) -> None:
        self.scoped.remove()


def _awaited(begin: Callable[[], Any]) -> Callable[[], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def block() -> AsyncIterator[Any]:
        with begin() as nested:
            yield nested

    return block


def _url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://", 1)


def _needs(*modules: str) -> Any:
    absent = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def _desk(name: str, opener: OpenDesk, *modules: str) -> Any:
    return pytest.param(opener, id=name, marks=_needs(*modules))


SQLALCHEMY = [
    _desk("AsyncSession-asyncpg", on_sqlalchemy_async("asyncpg", "session"), "sqlalchemy"),
    _desk("AsyncSession-psycopg", on_sqlalchemy_async("psycopg", "session"), "sqlalchemy"),
    _desk("AsyncConnection-asyncpg", on_sqlalchemy_async("asyncpg", "connection"), "sqlalchemy"),
    _desk("AsyncConnection-psycopg", on_sqlalchemy_async("psycopg", "connection"), "sqlalchemy"),
    _desk("Session-psycopg", on_sqlalchemy("psycopg", "session"), "sqlalchemy"),
    _desk("Session-psycopg2", on_sqlalchemy("psycopg2", "session"), "sqlalchemy", "psycopg2"),
    _desk("Connection-psycopg", on_sqlalchemy("psycopg", "connection"), "sqlalchemy"),
    _desk("Connection-psycopg2", on_sqlalchemy("psycopg2", "connection"), "sqlalchemy", "psycopg2"),
    _desk("scoped_session-psycopg", on_sqlalchemy("psycopg", "scoped"), "sqlalchemy"),
    _desk("sqlmodel-async-asyncpg", on_sqlalchemy_async("asyncpg", "sqlmodel"), "sqlmodel"),
    _desk("sqlmodel-async-psycopg", on_sqlalchemy_async("psycopg", "sqlmodel"), "sqlmodel"),
    _desk("sqlmodel-psycopg", on_sqlalchemy("psycopg", "sqlmodel"), "sqlmodel"),
    _desk("sqlmodel-psycopg2", on_sqlalchemy("psycopg2", "sqlmodel"), "sqlmodel", "psycopg2"),
]
DESKS = [
    _desk("asyncpg", on_asyncpg),
    _desk("asyncpg-pooled", on_pooled_asyncpg),
    _desk("psycopg-async", on_psycopg_async),
    _desk("psycopg", on_psycopg),
    _desk("psycopg-odd", on_odd_psycopg),
    _desk("psycopg2", on_psycopg2, "psycopg2"),
    *SQLALCHEMY,
]
NO_TRANSACTION = {"isolation_level": "AUTOCOMMIT"}
AUTOCOMMIT = [
    _desk("psycopg", on_autocommit_psycopg),
    _desk(
        "AsyncSession", on_sqlalchemy_async("asyncpg", "session", **NO_TRANSACTION), "sqlalchemy"
    ),
    _desk(
        "AsyncConnection",
        on_sqlalchemy_async("psycopg", "connection", **NO_TRANSACTION),
        "sqlalchemy",
    ),
    _desk("Session", on_sqlalchemy("psycopg", "session", **NO_TRANSACTION), "sqlalchemy"),
    _desk(
        "Connection",
        on_sqlalchemy("psycopg2", "connection", **NO_TRANSACTION),
        "sqlalchemy",
        "psycopg2",
    ),
    _desk("scoped_session", on_sqlalchemy("psycopg", "scoped", **NO_TRANSACTION), "sqlalchemy"),
]
BLOCKING = [desk for desk in DESKS if "async" not in str(desk.id).lower()]
