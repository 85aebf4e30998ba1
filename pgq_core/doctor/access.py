"""The server, and what we may do on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgq_core.doctor.check import Row, Seen
from pgq_core.doctor.finding import Finding, Severity
from pgq_core.doctor.roles import ROLES
from pgq_core.doctor.words import table
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
    """A role that may not run a worker: an error, unless it is whole for another purpose."""
    missing = {
        purpose: [row for row in seen.rows if row["purpose"] == purpose] for purpose in ROLES
    }
    if not missing["worker"]:
        return
    fitting = [purpose for purpose, rows in missing.items() if not rows]
    rows = missing["worker"]
    role, names = rows[0]["role"], sorted({row["name"] for row in rows})
    yield Finding(
        "privileges", Severity.INFO if fitting else Severity.ERROR,
        f"role {role} may not run a worker"
        + (f", only act as {fitting[0]}" if fitting else "")
        + f": it lacks privileges on {', '.join(names)}",
        "; ".join([*grants(rows, seen.schema), "the whole in docs/privileges.md"]),
        {"role": role, "complete_as": fitting, "objects": names},
    )  # fmt: skip


def grants(rows: Sequence[Row], schema: str) -> Iterator[str]:
    """The statements that give what is missing, one per kind and privilege."""
    objects: dict[tuple[str, str, str | None], list[str]] = {}
    for row in rows:
        objects.setdefault((row["kind"], row["privilege"], row["column_name"]), []).append(
            quote(schema) if row["kind"] == "SCHEMA" else table(schema, row["name"])
        )
    for (kind, privilege, column), names in objects.items():
        what = f"{privilege} ({column})" if column else privilege
        yield f"GRANT {what} ON {kind} {', '.join(names)} TO {quote(rows[0]['role'])}"
