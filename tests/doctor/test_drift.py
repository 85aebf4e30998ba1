"""What the doctor says of a schema that is not what the migrations make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from pgq_core.db import AsyncpgDriver
from pgq_core.doctor import examine
from pgq_core.doctor.blueprint import blueprint
from pgq_core.queries import Queries
from tests.doctor.conftest import Find

Healthy = Callable[..., Awaitable[bool]]

DAMAGE = [
    ("DROP INDEX pgq_ready_job_id", "index", "pgq_ready_job_id", "missing"),
    ("DROP TRIGGER pgq_fan_out ON pgq_jobs", "trigger", "pgq_fan_out", "missing"),
    ("DROP FUNCTION pgq_prune", "function", "pgq_prune", "missing"),
    ("DROP VIEW pgq_job_states", "view", "pgq_job_states", "missing"),
    ("DROP SEQUENCE pgq_waiting", "sequence", "pgq_waiting", "missing"),
    ("DROP TABLE pgq_cancels", "table", "pgq_cancels", "missing"),
    ("ALTER TABLE pgq_ready DROP CONSTRAINT pgq_ready_pkey", "index", "pgq_ready_pkey", "missing"),
    (
        "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'pgq_ready_job_id'::regclass",
        "index", "pgq_ready_job_id", "invalid",
    ),
    (
        "ALTER TABLE pgq_jobs DISABLE TRIGGER pgq_take_key",
        "trigger", "pgq_take_key", "switched off",
    ),
    (
        "CREATE OR REPLACE FUNCTION pgq_now_ms() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "function", "pgq_now_ms", "changed",
    ),
    (
        "ALTER FUNCTION pgq_fan_out() SET search_path TO elsewhere",
        "function", "pgq_fan_out", "elsewhere",
    ),
]  # fmt: skip


async def test_damage_is_named_and_mended(
    find: Find, healthy: Healthy, conn: asyncpg.Connection[Any]
) -> None:
    """What is missing, switched off or changed is named; the statement given makes it anew."""
    for damage, kind, name, state in DAMAGE:
        await conn.execute(damage)
        finding = await find("schema_drift")
        assert finding.facts == {"kind": kind, "object": name, "state": state}
        await conn.execute(finding.mend)
        assert await healthy(), damage


async def test_everything_in_the_schema_is_planned(conn: asyncpg.Connection[Any]) -> None:
    """The doctor knows every table, index, view and function that an installation creates."""
    rows = await conn.fetch(
        """SELECT relname::text AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'i')
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"""
    )
    planned = {name for kind, name in blueprint() if kind != "sequence"}
    assert {row["name"] for row in rows} == planned


async def test_another_schema(conn: asyncpg.Connection[Any]) -> None:
    """A schema of another name, odd as it may be, is examined as well."""
    queries = Queries(AsyncpgDriver(conn), "Dogs & Cats")
    await queries.initialize()
    assert await examine(queries) == []
    await conn.execute('ALTER SCHEMA "Dogs & Cats" RENAME TO cats')
    found = await examine(Queries(AsyncpgDriver(conn), "cats"))
    assert {finding.facts["state"] for finding in found} == {"elsewhere"}
    for finding in found:
        await conn.execute(finding.mend)
    assert await examine(Queries(AsyncpgDriver(conn), "cats")) == []
