"""How more connections are opened: by an address, or like those that are there."""

from __future__ import annotations

from typing import Any

import asyncpg

from pgq_core.db.driver import Connect, Connection
from pgq_core.db.dsn import plain_dsn
from pgq_core.db.trouble import UNREACHABLE, unreachable
from pgq_core.errors import DatabaseError


def connector(dsn: str | None = None, **settings: Any) -> Connect:
    """A function that opens connections to `dsn` (None: libpq's variables)."""

    async def connect() -> Connection:
        try:
            return await asyncpg.connect(plain_dsn(dsn), **settings)
        except UNREACHABLE as error:
            raise unreachable(dsn, error) from error

    return connect


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
