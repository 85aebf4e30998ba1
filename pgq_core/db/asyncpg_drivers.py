"""Drivers on one asyncpg connection, or on a pool of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pgq_core.db.connecting import connector_like, connector_of
from pgq_core.db.driver import Connect, Connection
from pgq_core.db.transaction import begun


class AsyncpgDriver:
    """Everything on one asyncpg connection; concurrent calls queue up for it.

    Within a task's own transaction its calls join it: waiting for the end would be for ever.
    """

    def __init__(self, connection: Connection, connect: Connect | None = None) -> None:
        self.connection = connection
        self._connect = connect
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @property
    def in_transaction(self) -> bool:
        return bool(self.connection.is_in_transaction())

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        async with self._turn():
            rows: list[Any] = await self.connection.fetch(text, *args)
            return rows

    async def execute(self, text: str, *args: Any) -> str:
        async with self._turn():
            return str(await self.connection.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._turn(), begun(self.connection):
            yield self.connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        if self._holder is task:
            yield
            return
        async with self._lock:
            self._holder = task
            try:
                yield
            finally:
                self._holder = None

    async def connect(self) -> Connection:
        return await (self._connect or connector_like(self.connection))()


class AsyncpgPoolDriver:
    """Every statement on a connection of an asyncpg pool."""

    def __init__(self, pool: Any, connect: Connect | None = None) -> None:
        self.pool = pool
        self._connect = connect

    @property
    def in_transaction(self) -> bool:
        return False

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        rows: list[Any] = await self.pool.fetch(text, *args)
        return rows

    async def execute(self, text: str, *args: Any) -> str:
        return str(await self.pool.execute(text, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, begun(connection):
            yield connection

    async def connect(self) -> Connection:
        return await (self._connect or connector_of(self.pool))()
