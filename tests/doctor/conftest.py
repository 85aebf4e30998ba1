"""Examinations of the test's database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from pgq_core.doctor import Finding, Limits, examine
from pgq_core.queries import Queries

Find = Callable[..., Awaitable[Finding]]


@pytest.fixture
def find(queries: Queries) -> Find:
    """The one finding of that name; there must be exactly one."""

    async def find_one(name: str, **limits: Any) -> Finding:
        found = await examine(queries, Limits(**limits))
        named = [finding for finding in found if finding.name == name]
        assert len(named) == 1, found
        return named[0]

    return find_one


@pytest.fixture
def healthy(queries: Queries) -> Callable[..., Awaitable[bool]]:
    """Whether nothing is found."""

    async def find_none(**limits: Any) -> bool:
        return await examine(queries, Limits(**limits)) == []

    return find_none


@pytest.fixture
async def worker(conn: asyncpg.Connection[Any]) -> int:
    """A live worker's row, as one that serves the entrypoint `served` writes it."""
    made: int = await conn.fetchval(
        """INSERT INTO pgq_workers (name, lease_seconds, info) VALUES
        ('host:1', 3600, '{"entrypoints": ["served"], "queues": null}') RETURNING worker_id"""
    )
    return made
