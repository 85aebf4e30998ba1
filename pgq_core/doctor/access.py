"""The server, and what we may do on it."""

from __future__ import annotations

from collections.abc import Iterator

from pgq_core.doctor.check import Seen
from pgq_core.doctor.finding import Finding, Severity
from pgq_core.sql import quote

OLDEST = 130000


def server(seen: Seen) -> Iterator[Finding]:
    """A server that is too old or cannot be written to."""
    row = seen.rows[0]
    if row["version"] < OLDEST:
        yield Finding(
            "server_version", Severity.ERROR,
            f"the server is PostgreSQL {row['shown']}; pgq needs 13 or newer",
            "upgrade the server (pg_upgrade)",
            dict(row),
        )  # fmt: skip
    if row["standby"]:
        yield Finding(
            "read_only", Severity.ERROR,
            "this server is a standby: nothing can be enqueued or claimed here",
            "point the DSN at the primary, as with target_session_attrs=primary",
            dict(row),
        )  # fmt: skip
    elif row["read_only"]:
        yield Finding(
            "read_only", Severity.ERROR,
            "transactions are read-only here by default: nothing can be enqueued or claimed",
            f"ALTER DATABASE {quote(row['database'])} RESET default_transaction_read_only, or the "
            "same for the role",
            dict(row),
        )  # fmt: skip


def privileges(seen: Seen) -> Iterator[Finding]:
    """What a worker needs and this role may not do."""
    for row in seen.rows:
        names = ", ".join(row["names"])
        yield Finding(
            "privileges", Severity.ERROR,
            f"role {row['role']} lacks {row['privileges']} on {len(row['names'])} objects a worker "
            f"needs ({row['kind'].lower()}: {names})",
            f"GRANT {row['privileges']} ON {row['kind']} {names} TO {quote(row['role'])}",
            dict(row),
        )  # fmt: skip
