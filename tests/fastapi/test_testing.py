"""Helpers for the tests of apps: httpx or TestClient, and a queue drained when you say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi import FastAPI, Request

from pgq_core import Job, PgQueuer
from pgq_fastapi import LifespanMissing, PgqDep, pgq_lifespan
from pgq_fastapi.testing import app_client, drain, no_worker
from tests.support import eventually


def make_app(dsn: str) -> FastAPI:
    """An app with a job that enqueues another, one that fails, and a lifespan of its own."""
    pgq = PgQueuer()
    sent: list[str] = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"sent": sent}

    app = FastAPI(lifespan=pgq_lifespan(pgq, dsn, inner=mine))

    @pgq.entrypoint("order")
    async def order(job: Job) -> None:
        await pgq.enqueue("mail", job.payload)

    @pgq.entrypoint("mail")
    async def mail(job: Job) -> None:
        sent.append(job.payload.decode())

    @pgq.entrypoint("bad", max_attempts=1)
    async def bad(job: Job) -> None:
        raise RuntimeError("out of paper")

    @app.post("/{entrypoint}")
    async def post(entrypoint: str, queue: PgqDep, delay: float = 0.0) -> int:
        return await queue.enqueue(entrypoint, "ann", delay=delay or None)

    @app.get("/sent")
    async def get_sent(request: Request) -> list[str]:
        found: list[str] = request.state.sent
        return found

    return app


async def test_client_runs_the_lifespan_and_drains(database: str) -> None:
    """`app_client` runs your lifespan, state included; jobs run when you drain, all of them."""
    async with app_client(make_app(database)) as client:
        await client.post("/order")
        assert (await client.get("/sent")).json() == []
        ran = await client.drain()
        assert [one.job.entrypoint for one in ran] == ["order", "mail"]
        assert (await client.get("/sent")).json() == ["ann"]
        assert await client.pgq.queries.counts()


async def test_failure_in_a_job_fails_the_test(database: str) -> None:
    """A job that fails raises its own traceback out of `drain`, unless you want to look."""
    async with app_client(make_app(database)) as client:
        await client.post("/bad")
        with pytest.raises(AssertionError, match="out of paper"):
            await client.drain()
        await client.post("/bad")
        assert [one.outcome for one in await client.drain(check=False)] == ["failed"]


async def test_time_travel(database: str) -> None:
    """`drain(now=…)` runs what is due by then."""
    async with app_client(make_app(database)) as client:
        await client.post("/mail", params={"delay": 3600})
        assert await client.drain() == []
        later = datetime.now(timezone.utc) + timedelta(hours=2)
        assert len(await client.drain(now=later)) == 1


async def test_with_the_real_worker(database: str) -> None:
    """With `worker=True` the app's own worker runs beside the test."""
    async with app_client(make_app(database), worker=True) as client:
        await client.post("/order")

        async def arrived() -> bool:
            return bool((await client.get("/sent")).json() == ["ann"])

        await eventually(arrived)


async def test_app_without_a_lifespan() -> None:
    """An app without our lifespan is told so."""
    with pytest.raises(LifespanMissing):
        async with app_client(FastAPI()):
            pass


@pytest.mark.filterwarnings("ignore:Using `httpx` with", "ignore:The anyio")
async def test_with_starlettes_test_client(database: str) -> None:
    """The same with TestClient, in plain functions: `drain(client)`."""
    from starlette.testclient import TestClient

    def plain_test() -> list[str]:
        with no_worker(), TestClient(make_app(database)) as client:
            client.post("/order")
            ran = drain(client)
            assert [one.outcome for one in ran] == ["succeeded", "succeeded"]
            found: list[str] = client.get("/sent").json()
            return found

    assert await asyncio.to_thread(plain_test) == ["ann"]
    with pytest.raises(LifespanMissing):
        drain(TestClient(FastAPI()))
