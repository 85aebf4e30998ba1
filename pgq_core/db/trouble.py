"""What a connection that broke, or could not be opened, looks like."""

from __future__ import annotations

import asyncio
import random

import asyncpg

from pgq_core.db.dsn import hide_password
from pgq_core.errors import DatabaseUnreachable

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


def pause_after(failures: int) -> float:
    """Seconds before the next try after so many failures in a row: 50 ms, doubling up to 2 s, half
    of it at random."""
    return min(2.0, 0.05 * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)
