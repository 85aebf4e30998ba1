"""What registering, enqueueing and running stand on: a registry, and a database now or later."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from pgq_core.db import UNREACHABLE, Driver, unreachable
from pgq_core.errors import NotBound
from pgq_core.hooks import Hook
from pgq_core.options import MAX_PAYLOAD
from pgq_core.poolers import open_driver
from pgq_core.pressure import Pressure
from pgq_core.queries import Queries
from pgq_core.registry import Registry

B = TypeVar("B", bound="Base")


class Base:
    """A registry of handlers, bound to a database now or later."""

    def __init__(
        self,
        driver: Driver | None = None,
        *,
        schema: str | None = None,
        resources: Any = None,
        hooks: Iterable[Hook] = (),
        max_payload: int = MAX_PAYLOAD,
        max_depth: Mapping[str, int] | None = None,
    ) -> None:
        self.registry = Registry()
        self.pressure = Pressure(max_depth or {})
        self.hooks = list(hooks)
        self.resources = resources
        self.schema = schema
        self.max_payload = max_payload
        self._queries: Queries | None = None
        if driver is not None:
            self.bind(driver)

    def bind(self, driver: Driver) -> None:
        """Use this driver from now on."""
        self._queries = Queries(driver, self.schema, self.max_payload)

    def unbind(self) -> None:
        """Forget the driver: the database is closed."""
        self._queries = None

    @property
    def queries(self) -> Queries:
        """The database verbs. Raises NotBound without a driver."""
        if self._queries is None:
            raise NotBound
        return self._queries

    def queries_on(self, connection: Any) -> Queries:
        """The verbs for a connection of the caller's, for which no driver is needed."""
        return self._queries or Queries(connection, self.schema, self.max_payload)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls: type[B],
        dsn: str | None = None,
        *,
        schema: str | None = None,
        statement_cache_size: int | None = None,
        **options: Any,
    ) -> AsyncIterator[B]:
        """A PgQueuer on a pool of its own: `async with PgQueuer.connect(dsn) as pgq`.

        `dsn` falls back to PGQ_DSN, DATABASE_URL, then libpq's variables; SQLAlchemy's URLs
        (`postgresql+asyncpg://`) are taken too. `statement_cache_size` is asyncpg's, 0 behind a
        pooler unless given. Raises DatabaseUnreachable.
        """
        pgq, settings = cls(schema=schema, **options), {}
        if statement_cache_size is not None:
            settings["statement_cache_size"] = statement_cache_size
        async with pgq.connected(dsn, **settings):
            yield pgq

    @asynccontextmanager
    async def connected(
        self: B, dsn: str | None = None, *, max_size: int = 5, **settings: Any
    ) -> AsyncIterator[B]:
        """Bind this PgQueuer to a pool on `dsn` for the length of the block.

        `settings` are those of `asyncpg.connect`; behind a pooler `statement_cache_size` is 0
        unless given.
        """
        dsn = dsn or os.environ.get("PGQ_DSN") or os.environ.get("DATABASE_URL")
        try:
            driver = await open_driver(dsn, max_size, settings)
        except UNREACHABLE as error:
            raise unreachable(dsn, error) from error
        self.bind(driver)
        try:
            yield self
        finally:
            self.unbind()
            try:
                await asyncio.wait_for(driver.pool.close(), 5)
            except (asyncio.TimeoutError, OSError, asyncpg.InterfaceError):
                driver.pool.terminate()
