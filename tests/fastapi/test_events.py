"""Server-sent events: every change, an end with the job, and an end with the server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response

from pgq_core import Context, Job, PgQueuer
from pgq_core.queries import Queries
from pgq_fastapi import job_events, job_status, pgq_lifespan
from pgq_fastapi.events import changes
from pgq_fastapi.views import JobStatus, status_of
from tests.fastapi.conftest import Serve
from tests.fastapi.inside import runtime, talking_to

FULL = "tests.fastapi.apps.full:app"
ANN = {"token": "ann"}

Event = tuple[str, dict[str, Any]]


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Names and data, as a browser would hand them out."""
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_stream_follows_a_job_to_its_end(serve: Serve, conn: Any, queries: Queries) -> None:
    """The stream tells every change of a job, with progress, and ends with its result."""
    server = await serve(FULL).up("/up")
    await conn.execute("SELECT pg_advisory_lock(1)")
    job = (await queries.enqueue("held"))[0]
    seen: list[Event] = []
    async with (
        server.client(headers=ANN) as client,
        client.stream("GET", f"/pgq/jobs/{job}/events") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for name, data in events(stream.aiter_lines()):
            seen.append((name, data))
            if data.get("progress"):
                await conn.execute("SELECT pg_advisory_unlock(1)")
    assert seen[-1][0] == "done"
    assert (seen[-1][1]["state"], seen[-1][1]["result"]) == ("succeeded", "passed")
    assert {"fraction": 0.25, "message": "at the gate"} in [data["progress"] for _, data in seen]
    assert [name for name, _ in seen[:-1]] == ["status"] * (len(seen) - 1)


async def test_stream_does_not_hold_up_the_server(
    serve: Serve, conn: Any, queries: Queries
) -> None:
    """An open stream ends when the server is told to stop, so that it can stop."""
    server = await serve(FULL).up("/up")
    job = (await queries.enqueue("nobody_serves_this"))[0]
    seen: list[Event] = []
    async with (
        server.client(headers=ANN) as client,
        client.stream("GET", f"/pgq/jobs/{job}/events") as stream,
    ):
        async for event in events(stream.aiter_lines()):
            seen.append(event)
            if len(seen) == 1:
                server.send(signal.SIGTERM)
        await server.ended(patience=10)
    assert [name for name, _ in seen] == ["status", "bye"]


def shop() -> tuple[FastAPI, PgQueuer]:
    """An app with status routes of its own, which show everybody only what is theirs."""
    pgq = PgQueuer()

    @pgq.entrypoint("bill")
    async def bill(job: Job, context: Context) -> str:
        return "paid"

    app = FastAPI()

    async def check(request: Request, id: int) -> None:
        if (await pgq.queries.get_job(id)).headers["of"] != request.headers.get("user"):
            raise HTTPException(403)

    @app.get("/bills/{id}/events")
    async def follow(id: int, request: Request) -> Response:
        await check(request, id)
        return await job_events(request, id, longest_pause=0.1)

    @app.get("/bills/{id}")
    async def look(id: int, request: Request) -> JobStatus:
        await check(request, id)
        return await job_status(request, id)

    return app, pgq


@pytest.mark.usefixtures("deny_worker")
async def test_routes_of_your_own(database: str) -> None:
    """`job_status` and `job_events` serve endpoints of yours that know whose job it is."""
    app, pgq = shop()
    app.router.lifespan_context = pgq_lifespan(pgq, database)
    async with talking_to(app) as client:
        id_ = await pgq.enqueue("bill", headers={"of": "ann"})
        assert (await client.get(f"/bills/{id_}", headers={"user": "bob"})).status_code == 403
        assert (await client.get(f"/bills/{id_}", headers={"user": "ann"})).json()[
            "state"
        ] == "ready"
        stream = asyncio.create_task(client.get(f"/bills/{id_}/events", headers={"user": "ann"}))
        await pgq.run(until_empty=True)
        text = (await stream).text
        assert text.rstrip().splitlines()[-3] == "event: done"
        assert '"result":"paid"' in text
        again = {"user": "ann", "last-event-id": "done"}
        assert (await client.get(f"/bills/{id_}/events", headers=again)).status_code == 204


@pytest.mark.usefixtures("deny_worker")
async def test_stream_of_a_finished_job_ends_at_once(database: str) -> None:
    """A stream of a job that is over says so in its first events."""
    app, pgq = shop()
    app.router.lifespan_context = pgq_lifespan(pgq, database)
    async with talking_to(app) as client:
        id_ = await pgq.enqueue("bill", headers={"of": "ann"})
        await pgq.queries.cancel([id_])
        text = (await client.get(f"/bills/{id_}/events", headers={"user": "ann"})).text
        assert [line for line in text.splitlines() if line.startswith("event")] == [
            "event: status",
            "event: done",
        ]


@pytest.mark.usefixtures("deny_worker")
async def test_stream_ends_when_its_job_is_pruned(database: str, conn: Any) -> None:
    """A job that disappears ends its stream; so does the stop of the app."""
    app, pgq = shop()
    app.router.lifespan_context = pgq_lifespan(pgq, database)
    async with talking_to(app):
        id_ = await pgq.enqueue("bill", headers={"of": "ann"})
        status = await status_of(pgq.queries, id_)
        stream = changes(runtime(app), status, 0.1)
        first = await anext(stream)
        await conn.execute("DELETE FROM pgq_jobs")
        rest = [event async for event in stream]
        assert first.startswith("event: status")
        assert rest == ["event: bye\ndata: {}\n\n"]
        runtime(app).stop()
        assert [event async for event in changes(runtime(app), status, 0.1)][1:] == rest
