"""What the doctor says of the server, the installed version and the role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from pgq_core.db import AsyncpgDriver
from pgq_core.doctor import Limits, Severity, access, examine
from pgq_core.doctor.check import Seen
from pgq_core.embedded import EmbeddedServer
from pgq_core.queries import Queries
from tests.doctor.conftest import Find

Healthy = Callable[..., Awaitable[bool]]
Connect = Callable[..., Awaitable["asyncpg.Connection[Any]"]]


async def test_not_installed(empty_database: str, connect: Connect) -> None:
    """Where pgq is not installed the doctor names the command that installs it."""
    [finding] = await examine(Queries(AsyncpgDriver(await connect())))
    assert finding.name == "schema_missing"
    assert (finding.severity, finding.mend) == (Severity.ERROR, "pgq-core install")


async def test_not_installed_in_this_schema(empty_database: str, connect: Connect) -> None:
    """Where the schema is not public, the command that installs pgq there names it."""
    [finding] = await examine(Queries(AsyncpgDriver(await connect()), "my jobs"))
    assert finding.mend == "pgq-core install --schema 'my jobs'"
    assert finding.mend in finding.what


async def test_a_newer_schema(find: Find, conn: asyncpg.Connection[Any]) -> None:
    """Tables of a newer version are named: the package must be upgraded."""
    await conn.execute("UPDATE pgq_meta SET value = '99' WHERE key = 'version'")
    finding = await find("schema_newer")
    assert finding.facts["found"] == 99
    assert finding.mend == "pip install --upgrade pgq-suite"


async def test_an_older_schema(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of an older version are named, with the command that upgrades them."""
    monkeypatch.setattr("pgq_core.queries.schema.VERSION", 98)
    assert (await find("schema_outdated")).mend == "pgq-core upgrade"


async def test_read_only(find: Find, healthy: Healthy, conn: asyncpg.Connection[Any]) -> None:
    """A database whose transactions are read-only is named; the command given mends it."""
    await conn.execute("SET default_transaction_read_only = on")
    finding = await find("read_only")
    assert "RESET default_transaction_read_only" in finding.mend
    await conn.execute("SET default_transaction_read_only = off")
    assert await healthy()


def test_a_standby_and_an_old_server() -> None:
    """A standby, and a server older than PostgreSQL 13, are named."""
    row = {"version": 120010, "shown": "12.10", "standby": True, "read_only": False}
    found = list(access.server(Seen([row], "public", Limits())))
    assert [finding.name for finding in found] == ["server_version", "read_only"]


async def test_a_check_that_fails(find: Find, conn: asyncpg.Connection[Any]) -> None:
    """A check that cannot be made is a finding, and the others are made all the same."""
    await conn.execute("ALTER TABLE pgq_workers RENAME COLUMN stalled_seconds TO stuck_seconds")
    await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('a')")
    assert (await find("check_failed")).severity is Severity.WARNING
    assert (await find("no_worker")).severity is Severity.ERROR


@pytest.fixture(scope="module")
def odd_server() -> Iterator[EmbeddedServer]:
    """A server without autovacuum, with replication slots and prepared transactions."""
    settings = {
        "autovacuum": "off", "wal_level": "logical", "max_prepared_transactions": "2",
        "fsync": "off",
    }  # fmt: skip
    with EmbeddedServer(settings=settings) as server:
        yield server


async def test_an_odd_server(odd_server: EmbeddedServer) -> None:
    """Autovacuum off, a slot nobody reads, a prepared transaction: each named with its remedy."""
    conn = await asyncpg.connect(odd_server.dsn())
    try:
        await conn.execute("SELECT pg_create_logical_replication_slot('it''s', 'pgoutput')")
    except asyncpg.InvalidNameError:
        await conn.execute("SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
    await conn.execute("BEGIN; CREATE TABLE mine (); PREPARE TRANSACTION 'it''s mine'")
    queries = Queries(AsyncpgDriver(conn))
    await queries.initialize()
    found = await examine(queries, Limits(horizon_seconds=0))
    assert [finding.name for finding in found] == ["autovacuum_off", "horizon", "horizon"]
    assert found[0].mend.startswith("ALTER SYSTEM SET autovacuum = on")
    by_kind = {finding.facts["kind"]: finding for finding in found[1:]}
    await conn.execute("SELECT " + by_kind["slot"].mend.partition("SELECT ")[2])
    await conn.execute(by_kind["prepared"].mend.partition(" or ")[2])
    for statement in found[0].mend.split("; "):
        await conn.execute(statement)
    await conn.close()
