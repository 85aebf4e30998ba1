"""The matrix: every test that takes `desk` runs once per kind of connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from pgq_core import PgQueuer
from tests.connections.desks import DESKS, Desk


@pytest.fixture(params=DESKS)
async def desk(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Desk]:
    """A caller's connection that has a transaction open, or opens one at its first statement."""
    async with request.param(database, PgQueuer()) as opened:
        yield opened


class Outside:
    """What everybody else sees: only what is committed."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    async def ids(self) -> list[int]:
        rows = await self.connection.fetch("SELECT id FROM pgq_jobs ORDER BY id")
        return [row["id"] for row in rows]

    async def rows(self) -> list[dict[str, Any]]:
        rows = await self.connection.fetch("SELECT * FROM pgq_jobs ORDER BY id")
        return [dict(row) for row in rows]

    async def pointers(self) -> int:
        count: int = await self.connection.fetchval(
            "SELECT (SELECT count(*) FROM pgq_ready) + (SELECT count(*) FROM pgq_deferred)"
        )
        return count


@pytest.fixture
async def outside(conn: asyncpg.Connection[Any]) -> Outside:
    """Another connection's view of the queue."""
    return Outside(conn)
