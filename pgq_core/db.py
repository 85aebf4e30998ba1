"""Drivers: how pgq reaches PostgreSQL through an asyncpg connection or pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg

from pgq_core.errors import DatabaseError, DatabaseUnreachable

log = logging.getLogger("pgq_core.db")

Connection = Any  # asyncpg.Connection or its pool proxy; asyncpg ships no types of its own
Connect = Callable[[], Awaitable[Connection]]

#: What a broken connection looks like; the statement may or may not have been executed.
DISCONNECTED = (
    OSError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    # A pooler gave us another server session than the one that knows our prepared statements.
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncio.TimeoutError,
)


class Driver(Protocol):
    """What the queries need: run a statement, hold a transaction, open a new connection."""

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        """Run one statement and return its rows."""

    async def execute(self, text: str, *args: Any) -> str:
        """Run one statement, or a script when there are no arguments."""

    def transaction(self) -> Any:
        """An async context manager that gives a connection inside a transaction."""

    async def connect(self) -> Connection:
        """Open a connection to the same database that belongs to the caller alone."""


class AsyncpgDriver:
    """Everything on one asyncpg connection; concurrent calls queue up for it."""

    def __init__(self, connection: Connection, connect: Connect | None = None) -> None:
        self.connection = connection
        self._connect = connect
        self._turn = asyncio.Lock()

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        async with self._turn:
            rows: list[Any] = await self.connection.fetch(text, *args)
            return rows

    async def execute(self, text: str, *args: Any) -> str:
        async with self._turn:
            return str(await self.connection.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._turn, self.connection.transaction():
            yield self.connection

    async def connect(self) -> Connection:
        return await (self._connect or connector_like(self.connection))()


class AsyncpgPoolDriver:
    """Every statement on a connection of an asyncpg pool."""

    def __init__(self, pool: Any, connect: Connect | None = None) -> None:
        self.pool = pool
        self._connect = connect

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        rows: list[Any] = await self.pool.fetch(text, *args)
        return rows

    async def execute(self, text: str, *args: Any) -> str:
        return str(await self.pool.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    async def connect(self) -> Connection:
        return await (self._connect or connector_of(self.pool))()


def connector(dsn: str | None = None, **settings: Any) -> Connect:
    """A function that opens connections to `dsn` (None: libpq's variables)."""

    async def connect() -> Connection:
        try:
            return await asyncpg.connect(dsn, **settings)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise unreachable(dsn, error) from error

    return connect


async def behind_pooler(connection: Connection) -> bool:
    """Whether a pooler stands between: it names another process than the one that answers."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    return bool(pid != connection.get_server_pid())


async def suit(dsn: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a pool on `dsn`, after a look at what answers there.

    Behind a pooler no statement is kept prepared, and nothing is reset when a connection goes back
    to the pool: the next transaction may run in another server session, which others use too.
    """
    probe = await asyncpg.connect(dsn, **{**settings, "statement_cache_size": 0})
    try:
        pooled = await behind_pooler(probe)
    finally:
        await probe.close()
    if not pooled:
        return settings
    log.info("connected through a pooler: no statements are kept prepared")
    return {"statement_cache_size": 0, "reset": leave_alone, **settings}


async def leave_alone(_connection: Connection) -> None:
    """Instead of asyncpg's RESET ALL."""


def unreachable(dsn: str | None, error: BaseException) -> DatabaseUnreachable:
    """The error for a failed connection, without the password."""
    where = "the server named by libpq's variables" if dsn is None else hide_password(dsn)
    return DatabaseUnreachable(
        f"cannot connect to {where}: {error or type(error).__name__}; "
        "check --dsn, PGQ_DSN or DATABASE_URL, and that the server runs"
    )


def hide_password(dsn: str) -> str:
    """A DSN that can be shown to people."""
    scheme, found, rest = dsn.partition("://")
    user, at, host = rest.rpartition("@")
    if not found or not at:
        return dsn
    return f"{scheme}://{user.partition(':')[0]}@{host}"


def connector_of(pool: Any) -> Connect:
    """A function that opens connections as a pool does, on any loop: the pool belongs to one."""
    try:
        make, args, settings = pool._connect, pool._connect_args, pool._connect_kwargs
    except AttributeError as error:
        raise DatabaseError(
            "cannot open more connections like the pool's; "
            "use PgQueuer.connect(dsn), or pass connect= to the driver"
        ) from error
    return lambda: make(*args, **settings)


def connector_like(connection: Connection) -> Connect:
    """A function that opens more connections like this one.

    asyncpg has no public way to read back how a connection was made; the names used here are the
    same in 0.30 to 0.32. Where they are missing the caller is told what to pass instead.
    """
    try:
        address, params, config = connection._addr, connection._params, connection._config
        host, port = address if isinstance(address, tuple) else (address, None)
        settings = {
            "host": host.rpartition("/")[0] if port is None else host,
            "port": int(host.rpartition(".")[2]) if port is None else port,
            "user": params.user,
            "password": params.password,
            "database": params.database,
            "ssl": params.ssl,
            "server_settings": dict(params.server_settings or {}),
            "statement_cache_size": config.statement_cache_size,
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DatabaseError(
            "cannot open more connections like the one given; "
            "use PgQueuer.connect(dsn), or pass connect= to the driver"
        ) from error
    settings["server_settings"].pop("application_name", None)
    return lambda: asyncpg.connect(**settings)
