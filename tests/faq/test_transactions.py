"""The FAQ on transactions: a job is part of the one it was enqueued in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgq_core import Job, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.queries import Queries
from tests.faq.running import drain

if TYPE_CHECKING:
    from tests.conftest import Connect


@pytest.fixture
async def orders(conn: Any) -> Any:
    """A connection to a database with a table of the user's own."""
    await conn.execute("CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL)")
    return conn


async def count(connection: Any, table: str) -> int:
    """Rows of a table."""
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_commit_keeps_both(pgq: PgQueuer, orders: Any) -> None:
    """The order and its job appear together, and not before the commit."""
    async with orders.transaction():
        await orders.execute("INSERT INTO orders (item) VALUES ('tea')")
        job_id = await pgq.enqueue("ship", {"item": "tea"}, connection=orders)
        assert await pgq.queries.get_jobs() == []
    assert [job.id for job in await pgq.queries.get_jobs()] == [job_id]
    assert await count(orders, "orders") == 1


async def test_a_rollback_leaves_nothing(pgq: PgQueuer, orders: Any) -> None:
    """When the transaction fails there is no order and no job, and nothing to run."""
    ran: list[int] = []

    @pgq.entrypoint("ship")
    async def ship(job: Job) -> None:
        ran.append(job.id)

    async def order_and_fail() -> None:
        async with orders.transaction():
            await orders.execute("INSERT INTO orders (item) VALUES ('tea')")
            await pgq.enqueue("ship", connection=orders)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await order_and_fail()
    await drain(pgq)
    assert ran == []
    assert [await count(orders, t) for t in ("orders", "pgq_jobs", "pgq_ready")] == [0, 0, 0]


async def test_queries_on_the_callers_connection(orders: Any, connect: Connect) -> None:
    """`Queries(AsyncpgDriver(conn))` joins the transaction open on that connection, as the FAQ has
    it."""
    queries = Queries(AsyncpgDriver(orders))
    transaction = orders.transaction()
    await transaction.start()
    await queries.enqueue(entrypoints=["ship"], payloads=[b""], priorities=[0])
    assert await count(await connect(), "pgq_jobs") == 0
    await transaction.rollback()
    assert await count(orders, "pgq_jobs") == 0


async def test_any_client_can_enqueue(database: str, pgq: PgQueuer) -> None:
    """One ordinary INSERT, from another library, is a job that runs."""

    @pgq.entrypoint("ship")
    async def ship(job: Job) -> str:
        return job.payload.decode()

    with psycopg.connect(database) as connection:
        row = connection.execute(
            "INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('ship', 'tea') RETURNING id"
        ).fetchone()
    assert row is not None
    await drain(pgq)
    assert (await pgq.queries.get_job(row[0])).result == "tea"
