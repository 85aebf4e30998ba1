"""Drivers: how pgq reaches PostgreSQL through an asyncpg connection or pool."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg

from pgq_core.errors import DatabaseError, DatabaseUnreachable

# In a URL's parameters, or in libpq's key=value form, which asyncpg refuses but people try.
_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)", re.IGNORECASE)
_DRIVER = re.compile(r"^(postgres(?:ql)?)\+(\w+)(?=://)", re.IGNORECASE)

Connection = Any  # asyncpg.Connection or its pool proxy; asyncpg ships no types of its own
Connect = Callable[[], Awaitable[Connection]]

#: What a broken connection looks like; the statement may or may not have been executed.
DISCONNECTED = (
    OSError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the end comes between two messages
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

#: What a connection that could not be opened looks like. Before Python 3.11 asyncio's TimeoutError
#: is not the one that is an OSError.
UNREACHABLE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    ValueError,
)


class Driver(Protocol):
    """What the queries need: run a statement, hold a transaction, open a new connection."""

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        """Run one statement and return its rows."""

    async def execute(self, text: str, *args: Any) -> str:
        """Run one statement, or a script when there are no arguments."""

    @property
    def in_transaction(self) -> bool:
        """Whether statements run in a transaction that the caller has open."""

    def transaction(self) -> Any:
        """An async context manager that gives a connection inside a transaction."""

    async def connect(self) -> Connection:
        """Open a connection to the same database that belongs to the caller alone."""


class AsyncpgDriver:
    """Everything on one asyncpg connection; concurrent calls queue up for it.

    Within a task's own transaction its calls join it: waiting for the end would be for ever.
    """

    def __init__(self, connection: Connection, connect: Connect | None = None) -> None:
        self.connection = connection
        self._connect = connect
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @property
    def in_transaction(self) -> bool:
        return bool(self.connection.is_in_transaction())

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        async with self._turn():
            rows: list[Any] = await self.connection.fetch(text, *args)
            return rows

    async def execute(self, text: str, *args: Any) -> str:
        async with self._turn():
            return str(await self.connection.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._turn(), begun(self.connection):
            yield self.connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        if self._holder is task:
            yield
            return
        async with self._lock:
            self._holder = task
            try:
                yield
            finally:
                self._holder = None

    async def connect(self) -> Connection:
        return await (self._connect or connector_like(self.connection))()


class AsyncpgPoolDriver:
    """Every statement on a connection of an asyncpg pool."""

    def __init__(self, pool: Any, connect: Connect | None = None) -> None:
        self.pool = pool
        self._connect = connect

    @property
    def in_transaction(self) -> bool:
        return False

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        rows: list[Any] = await self.pool.fetch(text, *args)
        return rows

    async def execute(self, text: str, *args: Any) -> str:
        return str(await self.pool.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, begun(connection):
            yield connection

    async def connect(self) -> Connection:
        return await (self._connect or connector_of(self.pool))()


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


def connector(dsn: str | None = None, **settings: Any) -> Connect:
    """A function that opens connections to `dsn` (None: libpq's variables)."""

    async def connect() -> Connection:
        try:
            return await asyncpg.connect(plain_dsn(dsn), **settings)
        except UNREACHABLE as error:
            raise unreachable(dsn, error) from error

    return connect


def unreachable(dsn: str | None, error: BaseException) -> DatabaseUnreachable:
    """The error for a failed connection, without the password."""
    where = "the server named by libpq's variables" if dsn is None else hide_password(dsn)
    reason = str(error) or type(error).__name__
    if type(error) is ValueError:  # its text may quote a piece of the password
        reason = "it cannot be read; percent-encode special characters in user and password"
    return DatabaseUnreachable(
        f"cannot connect to {where}: {reason}; "
        "check --dsn, PGQ_DSN or DATABASE_URL, and that the server runs"
    )


def plain_dsn(dsn: str | None) -> str | None:
    """A DSN as asyncpg takes it. SQLAlchemy's names a driver (`postgresql+asyncpg://`), and with
    asyncpg calls sslmode ssl."""
    if dsn is None or (named := _DRIVER.match(dsn)) is None:
        return dsn
    plain = named[1] + dsn[named.end() :]
    return re.sub(r"([?&])ssl=", r"\1sslmode=", plain) if named[2] == "asyncpg" else plain


def hide_password(dsn: str) -> str:
    """A DSN that can be shown to people: no password before the @, nor among the parameters."""
    shown = _PASSWORD.sub(r"\1***", dsn)
    scheme, found, rest = shown.partition("://") if "://" in shown else ("", "", shown)
    user, at, host = rest.rpartition("@")
    return f"{scheme}{found}{user.partition(':')[0]}@{host}" if at else shown


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
