"""Helpers for the tests of apps: httpx or TestClient, and a queue drained when you say so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from pgq_core import Job, PgQueuer
from pgq_fastapi import LifespanMissing, PgqDep, pgq_lifespan
from pgq_fastapi.testing import app_client, drain, no_worker
from tests.fastapi.served import ROOT
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


CONFTEST = """
from fastapi import FastAPI
from pgq_core import PgQueuer
from pgq_fastapi import PgqDep, pgq_lifespan
from pgq_fastapi.testing import client_fixture, plain_client_fixture

pgq = PgQueuer()
app = FastAPI(lifespan=pgq_lifespan(pgq))

@pgq.entrypoint("mail")
async def mail(job):
    return job.payload.decode()

@app.post("/mail")
async def post(queue: PgqDep) -> int:
    return await queue.enqueue("mail", "ann")

client = client_fixture(app, database="pgq_database")
working_client = client_fixture(app, database="pgq_database", worker=True)
plain_client = plain_client_fixture(app, database="pgq_database")
"""
TESTS = """
import os
import pytest
from pgq_fastapi.testing import drain

pytestmark = pytest.mark.{mark}

@pytest.mark.parametrize("time", [1, 2])
async def test_httpx(client, time):
    assert (await client.post("/mail")).json() == 1  # the first job: a database of its own
    assert len(await client.drain()) == 1
    assert "PGQ_DSN" not in os.environ

async def test_worker(working_client):
    job = (await working_client.post("/mail")).json()
    assert (await working_client.pgq.queries.wait(job, 20)).state.value == "succeeded"
"""
PLAIN = """
import pytest
from pgq_fastapi.testing import drain

@pytest.mark.parametrize("time", [1, 2])
def test_plain(plain_client, time):
    assert plain_client.post("/mail").json() == 1
    assert len(drain(plain_client)) == 1
"""


@pytest.mark.parametrize(
    ("plugin", "mark"),
    [("no:anyio", "asyncio"), ("no:asyncio", "anyio")],
    ids=["pytest-asyncio", "anyio"],
)
def test_fixtures(server_dsn: str, tmp_path: Path, plugin: str, mark: str) -> None:
    """The clients as fixtures, by httpx and TestClient, with a database for each test."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_async.py").write_text(TESTS.format(mark=mark))
    (tmp_path / "test_plain.py").write_text(PLAIN)
    environment = {name: value for name, value in os.environ.items() if name != "PGQ_DSN"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", plugin],
        cwd=tmp_path, env={**environment, "PGQ_TEST_DSN": server_dsn, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
