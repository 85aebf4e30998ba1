"""What the doctor says of the horizon, dead rows, bloat, autovacuum and notifications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from pgq_core.doctor import Severity, examine
from pgq_core.queries import Queries
from tests.doctor.conftest import Find
from tests.support import eventually

Healthy = Callable[..., Awaitable[bool]]
Connect = Callable[..., Awaitable["asyncpg.Connection[Any]"]]


async def test_who_holds_the_horizon(find: Find, healthy: Healthy, connect: Connect) -> None:
    """A session that keeps dead rows alive is named: process, age, application, query."""
    other = await connect(server_settings={"application_name": "the report"})
    await other.execute("BEGIN; CREATE TABLE mine ()")
    finding = await find("horizon", horizon_seconds=0)
    assert finding.severity is Severity.WARNING
    assert finding.facts["name"] == str(other.get_server_pid())
    assert finding.facts["application"] == "the report"
    assert finding.facts["seconds"] > 0
    assert "BEGIN; CREATE TABLE mine ()" in finding.what
    assert await healthy()  # by the defaults a short transaction is nobody's business


async def test_a_snapshot_holds_it_too(find: Find, connect: Connect) -> None:
    """So is one that only reads under REPEATABLE READ, as pg_dump does; the command ends it."""
    other, third = await connect(), await connect()
    await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pgq_jobs")
    finding = await find("horizon", horizon_seconds=0)
    assert finding.facts["name"] == str(other.get_server_pid())
    await third.execute("SELECT " + finding.mend.partition("SELECT ")[2].partition(";")[0])
    await eventually(lambda: gone(third, finding.facts["name"]), what="the session has ended")


async def gone(conn: asyncpg.Connection[Any], pid: str) -> bool:
    """Whether that session has ended."""
    count = await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", int(pid))
    return bool(count == 0)


async def test_dead_rows(find: Find, queries: Queries, conn: asyncpg.Connection[Any]) -> None:
    """A table with more dead rows than live ones is named; the command given cleans it."""
    await conn.execute("ALTER TABLE pgq_progress SET (autovacuum_enabled = off)")
    await conn.execute(
        "INSERT INTO pgq_progress (job_id, attempt, updated_at) "
        "SELECT n, 1, now() FROM generate_series(1, 500) AS n"
    )
    await conn.execute("DELETE FROM pgq_progress")

    async def counted() -> bool:
        return bool(await conn.fetchval(
            "SELECT n_dead_tup >= 500 FROM pg_stat_user_tables WHERE relname = 'pgq_progress'"
        ))  # fmt: skip

    await eventually(counted, what="the server has counted the dead rows")
    finding = await find("dead_rows", dead_rows=100)
    assert finding.facts["dead"] == 500
    await conn.execute(finding.mend.partition(";")[0])
    assert "dead_rows" not in [f.name for f in await examine(queries)]


async def test_bloat(find: Find, queries: Queries, conn: asyncpg.Connection[Any]) -> None:
    """A table far larger than its rows is named; the commands given make it small again."""
    await conn.execute("ALTER TABLE pgq_locks SET (autovacuum_enabled = off)")
    await conn.execute(
        "INSERT INTO pgq_locks (entrypoint, unique_key, job_id) "
        "SELECT 'a', n, n FROM generate_series(1, 20000) AS n"
    )
    await conn.execute("DELETE FROM pgq_locks WHERE job_id > 1")
    await conn.execute("VACUUM ANALYZE pgq_locks")
    # Live rows are spread over the table, so that VACUUM cannot cut it off at the end.
    limits = {"bloat_bytes": 100_000}
    finding = await find("bloat", **limits)
    assert finding.facts["name"] == "pgq_locks"
    first, _, rest = finding.mend.partition("; ")
    await conn.execute(first)
    await conn.execute(rest.partition("locks the table: ")[2])
    assert await conn.fetchval("SELECT pg_total_relation_size('pgq_locks') < 100000")


async def test_autovacuum_off(find: Find, healthy: Healthy, conn: asyncpg.Connection[Any]) -> None:
    """A table without autovacuum is named; the command given switches it on again."""
    await conn.execute("ALTER TABLE pgq_ready SET (autovacuum_enabled = off)")
    finding = await find("autovacuum_off")
    assert finding.severity is Severity.ERROR
    await conn.execute(finding.mend)
    assert await healthy()


async def test_the_queue_of_notifications(
    find: Find, conn: asyncpg.Connection[Any], connect: Connect
) -> None:
    """A queue of notifications that fills up is named, with the session that blocks it."""
    listener = await connect()
    await listener.execute("LISTEN somewhere")
    await listener.execute("BEGIN; SELECT 1")
    for number in range(100):
        await conn.execute(f"SELECT pg_notify('somewhere', repeat('x', 7000) || {number})")
    finding = await find("notify_queue", notify_usage=1e-7)
    assert finding.facts["pid"] == listener.get_server_pid()
    assert f"pg_terminate_backend({listener.get_server_pid()})" in finding.mend
