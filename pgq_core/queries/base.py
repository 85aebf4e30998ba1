"""What every group of verbs stands on: a driver, a schema, a way to run a statement."""

from __future__ import annotations

import os
from typing import Any

from pgq_core.borrowed import fetch, fetch_sync
from pgq_core.db import Driver
from pgq_core.options import MAX_PAYLOAD
from pgq_core.queries import schema
from pgq_core.sql import load

DEFAULT_SCHEMA = "public"

# Functions that lock first and then look with a new snapshot.
LOCKING = frozenset({"cancel", "retry", "delete_jobs", "prune", "redrive", "rescue", "sweep"})


class Statements:
    """Runs the files of `pgq_core.sql` on a driver."""

    def __init__(
        self, driver: Driver, schema: str | None = None, max_payload: int = MAX_PAYLOAD
    ) -> None:
        self.driver = driver
        self.schema = schema or os.environ.get("PGQ_SCHEMA") or DEFAULT_SCHEMA
        self.max_payload = max_payload

    async def call(self, name: str, on: Any = None, /, **values: Any) -> list[Any]:
        """Run `<name>.sql` on the driver, or on a connection of any kind, and return its rows."""
        if on is None and name in LOCKING and not self.driver.in_transaction:
            async with self.driver.transaction() as own:
                return list(await fetch(own, load(name, self.schema), values, self.schema))
        return list(await fetch(on or self.driver, load(name, self.schema), values, self.schema))

    def call_sync(self, name: str, on: Any, /, **values: Any) -> list[Any]:
        """The same on a connection that blocks: psycopg, or a Session of SQLAlchemy's."""
        return list(fetch_sync(on, load(name, self.schema), values, self.schema))

    async def initialize(self) -> None:
        """Install or upgrade the tables; does nothing when they are current."""
        await schema.initialize(self.driver, self.schema)

    async def uninstall(self) -> None:
        """Remove everything pgq created, jobs included."""
        await schema.uninstall(self.driver, self.schema)

    async def check(self) -> None:
        """Raise SchemaMissing, SchemaOutdated or SchemaNewer unless the tables are current."""
        await schema.check(self.driver, self.schema)
