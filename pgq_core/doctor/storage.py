"""What the database keeps: the horizon, dead rows, bloat, autovacuum, notifications."""

from __future__ import annotations

from collections.abc import Iterator

from pgq_core.doctor.check import Row, Seen
from pgq_core.doctor.finding import Finding, Severity
from pgq_core.doctor.words import literal, size, span, table


def horizon(seen: Seen) -> Iterator[Finding]:
    """Sessions, slots and prepared transactions that keep dead rows from being removed."""
    for row in seen.rows:
        what, mend = {"session": _session, "slot": _slot, "prepared": _prepared}[row["kind"]](row)
        yield Finding("horizon", Severity.WARNING, what, mend, dict(row))


def _session(row: Row) -> tuple[str, str]:
    doing = f", {row['state']}: {row['query']}" if row["query"] else ""
    what = (
        f"session {row['name']} ({row['application']}, role {row['role']}) has kept dead rows from "
        f"being removed for {span(row['seconds'])}, {row['xids']} transactions{doing}"
    )
    return what, (
        f"SELECT pg_terminate_backend({row['name']}); against the next one: "
        f"ALTER ROLE {row['role'] or '…'} SET idle_in_transaction_session_timeout = '1min'"
    )


def _slot(row: Row) -> tuple[str, str]:
    what = (
        f"replication slot {row['name']!r} ({row['application']}, {row['state']}) holds the "
        f"horizon back by {row['xids']} transactions, and keeps WAL"
    )
    return what, (
        "start its consumer, or, if nobody needs it: "
        f"SELECT pg_drop_replication_slot({literal(row['name'])})"
    )


def _prepared(row: Row) -> tuple[str, str]:
    what = (
        f"prepared transaction {row['name']!r} (role {row['role']}) has been open for "
        f"{span(row['seconds'])}"
    )
    name = literal(row["name"])
    return what, f"COMMIT PREPARED {name} or ROLLBACK PREPARED {name}"


def dead(seen: Seen) -> Iterator[Finding]:
    """More dead rows than live ones."""
    for row in seen.rows:
        name = table(seen.schema, row["name"])
        yield Finding(
            "dead_rows", Severity.WARNING,
            f"{row['name']} has {row['dead']} dead rows and {row['live']} live ones; last "
            f"vacuumed: {row['vacuumed_at'] or 'never'}",
            f"VACUUM (VERBOSE) {name}; it removes nothing while somebody holds the horizon (see "
            "those findings first)",
            dict(row),
        )  # fmt: skip


def bloat(seen: Seen) -> Iterator[Finding]:
    """Tables much larger than their rows."""
    for row in seen.rows:
        name = table(seen.schema, row["name"])
        yield Finding(
            "bloat", Severity.WARNING,
            f"{row['name']} takes {size(row['bytes'])} with its indexes for rows that need "
            f"{size(row['needed'])}",
            f"REINDEX TABLE CONCURRENTLY {name}; in a quiet minute, for it locks the table: "
            f"VACUUM FULL {name}",
            dict(row),
        )  # fmt: skip


def autovacuum(seen: Seen) -> Iterator[Finding]:
    """A queue without autovacuum grows for ever."""
    for row in seen.rows:
        if row["name"] is None:
            what = f"the server runs with {row['setting']} = off: nothing removes dead rows"
            mend = f"ALTER SYSTEM SET {row['setting']} = on; SELECT pg_reload_conf()"
        else:
            what = f"autovacuum is off for {row['name']}: nothing removes its dead rows"
            mend = f"ALTER TABLE {table(seen.schema, row['name'])} RESET (autovacuum_enabled)"
        yield Finding("autovacuum_off", Severity.ERROR, what, mend, dict(row))


def notify(seen: Seen) -> Iterator[Finding]:
    """A full queue of notifications makes every NOTIFY fail."""
    usage, pid = seen.rows[0]["usage"], seen.rows[0]["pid"]
    if usage >= seen.limits.notify_usage:
        yield Finding(
            "notify_queue", Severity.ERROR if usage >= 0.5 else Severity.WARNING,
            f"the server's queue of notifications is {usage:.2%} full; when it is full, every "
            "enqueue that would notify fails",
            "end the listening session that stays in a transaction"
            + (f": SELECT pg_terminate_backend({pid})" if pid else " (in another database)"),
            dict(seen.rows[0]),
        )  # fmt: skip
