"""A connection of the worker's own that comes back after a failure."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED, begun, pause_after
from pgq_core.errors import DatabaseError
from pgq_core.queries import Queries
from pgq_core.sql import load

log = logging.getLogger("pgq_core.worker")


class Line:
    """Calls statements on one dedicated connection; `generation` grows with every reconnect."""

    def __init__(self, queries: Queries, name: str, timeout: float) -> None:
        self.queries = queries
        self.name = name
        self.timeout = timeout
        self.generation = 0
        self._connection: Any = None
        self._failures = 0
        self._committed_reads = True

    async def call(self, statement: str, /, **values: Any) -> list[Any]:
        """Run a statement. After an error in DISCONNECTED nobody knows whether it took effect."""
        if self._connection is None:
            await self._open()
        sql = load(statement, self.queries.schema)
        try:
            rows = await self._fetch(sql.text, sql.bind(values))
        except DISCONNECTED:
            self.drop()
            raise
        self._failures = 0
        return rows

    async def _fetch(self, text: str, arguments: list[Any]) -> list[Any]:
        connection = self._connection
        if self._committed_reads:
            rows: list[Any] = await connection.fetch(text, *arguments, timeout=self.timeout)
            return rows
        async with begun(connection):
            return list(await connection.fetch(text, *arguments, timeout=self.timeout))

    def drop(self) -> None:
        """Give the connection up, without waiting for the other side."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def pause(self, error: BaseException) -> None:
        """Wait before the next try."""
        self._failures += 1
        if self._failures in (1, 10) or self._failures % 100 == 0:
            log.warning("%s: database trouble (%s: %s); trying again", self.name,
                        type(error).__name__, error)  # fmt: skip
        await asyncio.sleep(pause_after(self._failures))

    async def close(self) -> None:
        """Close politely."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=2)
            except DISCONNECTED:
                connection.terminate()

    async def _open(self) -> None:
        try:
            connection = await asyncio.wait_for(self.queries.driver.connect(), 10)
            isolation = await connection.fetchval("SHOW default_transaction_isolation")
            self._committed_reads = isolation == "read committed"
            self._connection = connection
        except (DatabaseError, asyncpg.PostgresError) as error:
            raise ConnectionError(str(error)) from error
        self.generation += 1
