"""Fixtures."""

import pytest


@pytest.mark.parametrize("n", range(4))
async def test_queries(queries, conn, connect, n) -> None:
    """Each test has a database of its own."""
    await queries.enqueue(["a"], [None], [1])
    other = await connect()
    assert await other.fetchval("select count(*) from pgq_jobs") == 1
