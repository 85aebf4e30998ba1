"""The proxy breaks connections as a network does: what the server has done stays done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from pgq_core.db import DISCONNECTED, AsyncpgDriver
from pgq_core.embedded import EmbeddedServer
from pgq_core.queries import Queries
from tests.chaos.roads import Roads

INSERT = "INSERT INTO pgq_jobs (entrypoint) VALUES ('quick')"
COUNT = "SELECT count(*) FROM pgq_jobs"
FOR_EVER = 0.5  # seconds that nothing happens


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """One that listens on TCP."""
    with EmbeddedServer(tcp=True) as server:
        yield server


@pytest.fixture
async def roads(server: EmbeddedServer) -> AsyncIterator[Roads]:
    """The proxy, in front of a server with a queue."""
    roads = Roads(server)
    await roads.proxy.start()
    async with connected(server.dsn()) as direct:
        await Queries(AsyncpgDriver(direct)).initialize()
        await direct.execute("TRUNCATE pgq_jobs, pgq_ready")
    yield roads
    await roads.proxy.stop()


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """A connection for the length of the block."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


async def found(roads: Roads) -> int:
    """How many jobs there are."""
    async with connected(roads.dsn("direct")) as direct:
        count: int = await direct.fetchval(COUNT)
        return count


@pytest.mark.parametrize("what", ["lose", "tear"])
async def test_a_lost_answer_is_not_a_lost_commit(roads: Roads, what: str) -> None:
    """The client hears of a broken connection; the job is in the database."""
    async with connected(roads.dsn("proxied")) as client:
        roads.proxy.order("enqueue", what)
        with pytest.raises((*DISCONNECTED, asyncpg.PostgresError)):
            await client.execute(INSERT)
    assert await found(roads) == 1


async def test_within_a_transaction_the_answer_to_commit_is_lost(roads: Roads) -> None:
    """The INSERT is answered; it is COMMIT that the client never hears of."""
    async with connected(roads.dsn("proxied")) as client:
        roads.proxy.order("enqueue", "lose")
        transaction = client.transaction()
        await transaction.start()
        await client.execute(INSERT)
        with pytest.raises((*DISCONNECTED, asyncpg.PostgresError)):
            await transaction.commit()
    assert await found(roads) == 1


async def test_half_open_connections_lead_nowhere_but_new_ones_work(roads: Roads) -> None:
    """No answer and no error on the old connection, while another is served."""
    async with connected(roads.dsn("proxied")) as old, roads.proxy.half_open():
        asked = asyncio.ensure_future(old.fetchval(COUNT))
        async with connected(roads.dsn("proxied")) as new:
            assert await new.fetchval(COUNT) == 0
        await asyncio.wait([asked], timeout=FOR_EVER)
        assert not asked.done()
        asked.cancel()


async def test_what_a_black_hole_held_arrives_afterwards(roads: Roads) -> None:
    """Nothing passes and nothing is refused; then the answer comes."""
    async with connected(roads.dsn("proxied")) as client:
        with roads.proxy.black_hole():
            asked = asyncio.ensure_future(client.fetchval(COUNT))
            await asyncio.wait([asked], timeout=FOR_EVER)
            assert not asked.done()
        assert await asked == 0
