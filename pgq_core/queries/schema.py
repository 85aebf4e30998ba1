"""Install, upgrade, check and remove the schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pgq_core.db import Driver
from pgq_core.errors import SchemaMissing, SchemaNewer, SchemaOutdated
from pgq_core.migrations import VERSION, drop_script, upgrade_script
from pgq_core.sql import load, quote

# Of its own kind, so that it cannot meet a lock of the user's.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('pgq install ' || $1, 0))"
_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
_SETTINGS = "SELECT current_setting('search_path'), current_setting('lock_timeout')"
_RESTORE = "SELECT set_config('search_path', $1, true), set_config('lock_timeout', $2, true)"


@asynccontextmanager
async def as_it_was(connection: Any) -> AsyncIterator[None]:
    """Give the settings we change back to a transaction that may be the caller's and go on."""
    before = await connection.fetchrow(_SETTINGS)
    yield
    await connection.execute(_RESTORE, *before)


async def version_of(connection: Any, schema: str) -> int:
    """The installed version, 0 when there is none."""
    table = f"{quote(schema)}.pgq_meta"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return 0
    return int(await connection.fetchval(load("version", schema).text) or 0)


async def initialize(driver: Driver, schema: str) -> int:
    """Install or upgrade; returns the version found before. Safe when many call it at once."""
    async with driver.transaction() as connection, as_it_was(connection):
        await connection.execute("SET LOCAL lock_timeout = '60s'")
        await connection.execute(_LOCK, schema)
        found = await version_of(connection, schema)
        if found > VERSION:
            raise SchemaNewer(schema, found, VERSION)
        if found < VERSION:
            if not await connection.fetchval(_EXISTS, schema):
                await connection.execute(f"CREATE SCHEMA {quote(schema)}")
            await connection.execute(upgrade_script(schema, found))
        return found


async def uninstall(driver: Driver, schema: str) -> None:
    """Remove everything pgq created; the user's own tables and the schema stay."""
    async with driver.transaction() as connection, as_it_was(connection):
        await connection.execute(_LOCK, schema)
        await connection.execute(drop_script(schema))


async def check(driver: Driver, schema: str) -> None:
    """Raise SchemaMissing, SchemaOutdated or SchemaNewer unless the version is ours."""
    try:
        rows = await driver.fetch(load("version", schema).text)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        raise SchemaMissing(schema) from None
    found = int(rows[0]["version"]) if rows else 0
    if found == 0:
        raise SchemaMissing(schema)
    if found < VERSION:
        raise SchemaOutdated(schema, found, VERSION)
    if found > VERSION:
        raise SchemaNewer(schema, found, VERSION)
