"""The FastAPI shop as real processes over HTTP: a worker killed and a deploy, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import httpx

from tests.fastapi.conftest import Serve
from tests.fastapi.served import ROOT, Served
from tests.support import eventually

SHOP = ROOT / "example_projects" / "fastapi_shop"
ORDER = {"customer": "ann", "total": "9.90"}
COUNT = 120


def open_shop(serve: Serve, **environment: str) -> Served:
    return serve("shop.main:app", cwd=SHOP, environment=environment)


async def count(conn: Any, query: str) -> int:
    """A number from the database, 0 while the tables are not there yet."""
    found: int = await conn.fetchval(f"SELECT count(*) FROM {query}")
    return found


class Customers:
    """Place orders, always where the shop is open, and remember what was promised."""

    def __init__(self, shop: Served) -> None:
        self.shop = shop
        self.promised: list[dict[str, int]] = []

    async def buy(self, many: int) -> None:
        for _ in range(many):
            await self.buy_one()

    async def buy_one(self) -> None:
        """A refused or broken request is repeated, as customers do; it may have been an order."""
        while True:
            try:
                async with self.shop.client() as client:
                    answer = await client.post("/orders", json=ORDER)
                answer.raise_for_status()
            except httpx.TransportError:
                await asyncio.sleep(0.02)  # the shop is moving
                continue
            self.promised.append(answer.json())
            return


def holds_jobs(conn: Any, server: Served) -> Callable[[], Any]:
    """Whether the worker of this process holds jobs right now."""

    async def question() -> bool:
        return bool(
            await conn.fetchval(
                "SELECT count(*) FROM pgq_leases JOIN pgq_workers USING (worker_id) "
                "WHERE name LIKE '%:' || $1",
                str(server.process.pid),
            )
        )

    return question


async def test_nothing_is_lost_when_a_worker_dies_and_a_deploy_happens(
    serve: Serve, conn: Any
) -> None:
    """Every order answered with 200 is charged exactly once and shipped, whatever happens."""
    doomed = await open_shop(serve, SHOP_BANK_SECONDS="600").up()  # it will hold what it takes
    customers = Customers(doomed)
    first = asyncio.create_task(customers.buy(COUNT // 2))
    await eventually(holds_jobs(conn, doomed))
    old = await open_shop(serve).up()
    customers.shop = old
    doomed.kill()

    await first
    second = asyncio.create_task(customers.buy(COUNT // 2))
    await eventually(holds_jobs(conn, old))
    new = await open_shop(serve).up()
    customers.shop = new
    old.send(signal.SIGTERM)
    await old.ended()
    await second

    async def all_shipped() -> bool:
        return await count(conn, "orders WHERE state <> 'shipped'") == 0

    await eventually(all_shipped, patience=60)
    orders = [one["order"] for one in customers.promised]
    assert len(set(orders)) == COUNT
    shipped = await conn.fetch("SELECT id FROM orders WHERE state = 'shipped'")
    assert set(orders) <= {row["id"] for row in shipped}
    assert await count(conn, "charges") == len(shipped)
    assert await count(conn, "pgq_jobs WHERE entrypoint = 'charge'") == len(shipped)
    succeeded = "pgq_attempts WHERE outcome = 'succeeded'"
    once = await count(conn, f"(SELECT DISTINCT job_id FROM {succeeded}) AS jobs")
    assert await count(conn, succeeded) == once == 2 * len(shipped)
    assert await count(conn, "pgq_attempts WHERE outcome = 'failed'") == 0
    assert await count(conn, "pgq_attempts WHERE outcome = 'lost'") > 0  # the kill did hit jobs


async def test_customer_follows_an_order(serve: Serve) -> None:
    """A customer follows the charge of an order as it happens; nobody else does."""
    shop = await open_shop(serve, SHOP_BANK_SECONDS="1.5").up()
    async with shop.client() as client:
        placed = (await client.post("/orders", json=ORDER)).json()
        path = f"/jobs/{placed['job']}/events"
        assert (await client.get(path, params={"customer": "bob"})).status_code == 404
        text = (await client.get(path, params={"customer": "ann"})).text
        data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert data[-1]["result"] == {"charged": "9.90"}
        assert {"fraction": 0.1, "message": "asking the bank"} in [one["progress"] for one in data]

        async def shipped() -> bool:
            order = await client.get(f"/orders/{placed['order']}", params={"customer": "ann"})
            return bool(order.json()["state"] == "shipped")

        await eventually(shipped)


async def test_invalid_order_leaves_no_trace(serve: Serve, conn: Any) -> None:
    """An order that is refused leaves neither an order nor a job."""
    shop = await open_shop(serve).up()
    async with shop.client() as client:
        bad = await client.post("/orders", json={"customer": "ann", "total": "-1"})
        assert bad.status_code == 422
        assert (await client.get("/pgq/jobs")).status_code == 401
        listed = await client.get("/pgq/jobs", headers={"token": "staff"})
        assert listed.json()["jobs"] == []
    assert await count(conn, "orders") == 0
