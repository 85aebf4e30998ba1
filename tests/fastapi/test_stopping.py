"""Stopping, measured on real servers: no new jobs from the first signal on, none lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pgq_core.queries import Queries
from tests.fastapi.conftest import Serve
from tests.support import eventually

GATE = "tests.fastapi.apps.gate:app"
Connection = Any


class Gate:
    """Holds jobs (1) or requests (2) of the app until it is opened."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def shut(self, number: int) -> None:
        await self.connection.execute("SELECT pg_advisory_lock($1)", number)

    async def open(self, number: int) -> None:
        await self.connection.execute("SELECT pg_advisory_unlock($1)", number)

    async def waiting(self, number: int) -> bool:
        """Whether somebody stands before it."""
        found = await self.connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND objid = $1 AND classid = 0 AND objsubid = 1",
            number,
        )
        return bool(found)


@pytest.fixture
async def gate(connect: Any, database: str) -> Gate:
    """The gate, held by a connection of its own."""
    return Gate(await connect(database))


async def workers(conn: Connection) -> int:
    count: int = await conn.fetchval("SELECT count(*) FROM pgq_workers")
    return count


async def outcomes(conn: Connection, job: int) -> list[str]:
    rows = await conn.fetch(
        "SELECT outcome FROM pgq_attempts WHERE job_id = $1 ORDER BY attempt", job
    )
    return [row["outcome"] for row in rows]


@asynccontextmanager
async def request_in_flight(client: Any, gate: Gate) -> AsyncIterator[asyncio.Task[Any]]:
    """A slow request that keeps the server's HTTP drain open until the gate opens."""
    await gate.shut(2)
    task = asyncio.create_task(client.get("/slow"))
    await eventually(lambda: gate.waiting(2))
    yield task


async def test_sigterm_stops_claiming_before_the_http_drain_ends(
    serve: Serve, conn: Any, gate: Gate, queries: Queries
) -> None:
    """From SIGTERM on no job is claimed, although a request still keeps the server up."""
    server = await serve(GATE).up()
    await eventually(lambda: workers(conn))
    async with server.client() as client, request_in_flight(client, gate) as request:
        server.send(signal.SIGTERM)

        async def signed_off() -> bool:
            return await workers(conn) == 0

        await eventually(signed_off)
        assert server.process.poll() is None
        late = (await queries.enqueue("quick"))[0]
        await gate.open(2)
        assert (await request).json() == "done"
        await server.ended()
    assert (await queries.get_job(late)).state == "ready"
    assert (await queries.get_job(late)).attempt == 0


async def test_running_job_finishes_within_the_limit(
    serve: Serve, conn: Any, gate: Gate, queries: Queries
) -> None:
    """A job that runs at SIGTERM may finish; the server waits for it and then ends."""
    server = await serve(GATE).up()
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))
    server.send(signal.SIGTERM)

    async def heard() -> bool:
        return "claiming no more" in server.output() or "Shutting down" in server.output()

    await eventually(heard)
    assert server.process.poll() is None
    await gate.open(1)
    await server.ended()
    assert await outcomes(conn, job) == ["succeeded"]
    assert await workers(conn) == 0


async def test_job_beyond_the_limit_is_given_back(
    serve: Serve, conn: Any, gate: Gate, queries: Queries
) -> None:
    """A job that takes longer than `shutdown_timeout` is given back at once, unspent."""
    server = await serve(GATE, environment={"LIMIT": "0.2"}).up()
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))
    server.send(signal.SIGTERM)
    await server.ended(patience=10)
    assert await outcomes(conn, job) == ["interrupted"]
    assert (await queries.get_job(job)).state == "ready"


async def test_second_ctrl_c_ends_it(serve: Serve, conn: Any, gate: Gate, queries: Queries) -> None:
    """A second Ctrl-C does not wait for running jobs: they are given back, the server ends."""
    server = await serve(GATE).up()
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))
    server.send(signal.SIGINT)

    async def shutting_down() -> bool:
        return "Waiting for application shutdown" in server.output()

    await eventually(shutting_down)
    server.send(signal.SIGINT)
    await server.ended(patience=10)
    assert await outcomes(conn, job) == ["interrupted"]


async def test_second_ctrl_c_during_the_http_drain(
    serve: Serve, conn: Any, gate: Gate, queries: Queries
) -> None:
    """Also while a request hangs, a second Ctrl-C gives the running jobs back at once."""
    server = await serve(GATE).up()
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))

    async def given_back() -> bool:
        return await outcomes(conn, job) == ["interrupted"]

    async with server.client() as client, request_in_flight(client, gate) as request:
        server.send(signal.SIGINT)

        async def draining() -> bool:
            return "to force quit" in server.output()

        await eventually(draining)
        server.send(signal.SIGINT)
        await eventually(given_back)
        await gate.open(2)  # uvicorn itself waits for the open request, since Python 3.12
        await server.ended(patience=10)
        await asyncio.gather(request, return_exceptions=True)


async def test_two_processes_share_the_queue(
    serve: Serve, conn: Any, gate: Gate, queries: Queries
) -> None:
    """`uvicorn --workers 2` runs two workers; each job runs once, and SIGTERM stops both."""
    server = await serve(GATE, "--workers", "2").up()

    async def both() -> bool:
        return await workers(conn) == 2

    await eventually(both)
    await gate.shut(1)
    jobs = await queries.enqueue(["held"] * 15)

    async def all_started() -> bool:
        leased = await conn.fetchval("SELECT count(DISTINCT worker_id) FROM pgq_leases")
        return bool(leased == 2)

    await eventually(all_started)
    server.send(signal.SIGTERM)
    await gate.open(1)
    await server.ended()
    assert await workers(conn) == 0
    rows = await conn.fetch("SELECT job_id, count(*) FROM pgq_attempts GROUP BY job_id")
    assert {row["count"] for row in rows} <= {1}
    left = await conn.fetchval("SELECT count(*) FROM pgq_ready")
    assert len(rows) + left == len(jobs)


@pytest.mark.parametrize(
    "kind", ["uvicorn.workers.UvicornWorker", "asgi"], ids=["uvicorn-worker", "gunicorn-asgi"]
)
async def test_under_gunicorn(
    serve: Serve, conn: Any, gate: Gate, queries: Queries, tmp_path: Path, kind: str
) -> None:
    """Under gunicorn two processes work, and SIGTERM to the master lets running jobs finish."""
    pytest.importorskip("gunicorn")
    command = [
        "gunicorn", "-k", kind, "--workers", "2", "--bind", f"unix:{tmp_path}/0.sock",
        "--no-control-socket",
    ]  # fmt: skip
    server = await serve(GATE, command=command, environment={"PYTHONWARNINGS": "ignore"}).up()

    async def both() -> bool:
        return await workers(conn) == 2

    await eventually(both)
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))
    server.send(signal.SIGTERM)

    async def one_left() -> bool:
        return await workers(conn) == 1  # the other had nothing to finish

    await eventually(one_left)
    await gate.open(1)
    await server.ended()
    assert await outcomes(conn, job) == ["succeeded"]
    assert await workers(conn) == 0


async def test_reload_does_not_wait_for_long_jobs(
    serve: Serve, conn: Any, gate: Gate, queries: Queries, tmp_path: Path
) -> None:
    """Under --reload a change takes effect within seconds, whatever `shutdown_timeout` says."""
    source = tmp_path / "reloaded.py"
    source.write_text("from tests.fastapi.apps.gate import app\n__all__ = ['app']\n")
    server = await serve(
        "reloaded:app", "--reload", "--reload-dir", str(tmp_path), cwd=tmp_path
    ).up()
    await gate.shut(1)
    job = (await queries.enqueue("held"))[0]
    await eventually(lambda: gate.waiting(1))
    async with server.client() as client:
        first = (await client.get("/pgq/live")).json()
        source.write_text(source.read_text() + "# changed\n")

        async def replaced() -> bool:
            try:
                return bool((await client.get("/pgq/live")).json() != first)
            except httpx.TransportError:
                return False

        await eventually(replaced, patience=15)

    async def given_back() -> bool:
        return await outcomes(conn, job) == ["interrupted"]

    await eventually(given_back)
