"""The router: probes, jobs, and who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException

from pgq_core import Cancel, Context, Job, PgQueuer
from pgq_fastapi import Unprotected, pgq_lifespan, pgq_router
from tests.fastapi.inside import runtime, talking_to
from tests.support import eventually


def only_ann(token: Annotated[str, Header()] = "") -> None:
    """A user's own guard."""
    if token != "ann":
        raise HTTPException(401, "who are you?")


ANN = {"token": "ann"}
GUARD = [Depends(only_ann)]


def make_pgq() -> PgQueuer:
    """A queue whose handlers do what their names say."""
    pgq = PgQueuer()

    @pgq.entrypoint("echo")
    async def echo(job: Job, context: Context) -> Any:
        context.progress(0.5, "half")
        return job.json()

    @pgq.entrypoint("fail", max_attempts=1)
    async def fail(job: Job) -> None:
        raise ValueError("it broke")

    @pgq.entrypoint("give_up")
    async def give_up(job: Job) -> None:
        raise Cancel("no use")

    return pgq


@asynccontextmanager
async def app_client(
    database: str, worker: bool = False, **options: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient, PgQueuer]]:
    pgq = make_pgq()
    app = FastAPI(lifespan=pgq_lifespan(pgq, database, worker=worker))
    app.include_router(pgq_router(**options))
    async with talking_to(app) as client:
        yield app, client, pgq


@pytest.mark.parametrize("group", ["jobs", "manage", "status"])
def test_nothing_about_jobs_is_open_to_everybody(group: str) -> None:
    """Routes about jobs without a dependency are an error at start-up that says what to pass."""
    with pytest.raises(Unprotected, match=rf"dependencies=\[…\] or {group}=\[…\]"):
        pgq_router(**{group: True})
    with pytest.raises(Unprotected):
        pgq_router(**{group: []})
    assert pgq_router(**{group: GUARD})
    assert pgq_router(dependencies=GUARD, **{group: True})


async def test_only_probes_by_default(database: str) -> None:
    """Included with no arguments, the router has probes and metrics and nothing else."""
    async with app_client(database) as (app, client, _):
        paths = set(app.openapi()["paths"])
        assert paths == {"/pgq/live", "/pgq/ready", "/pgq/metrics"}
        assert (await client.get("/pgq/jobs")).status_code == 404


async def test_each_group_asks_its_own_guard(database: str) -> None:
    """Dependencies given to a group guard that group; those given to the router guard all."""
    async with app_client(database, jobs=GUARD, manage=GUARD, status=GUARD) as (_, client, pgq):
        id_ = await pgq.enqueue("echo")
        for path in (
            f"/jobs/{id_}",
            "/jobs",
            "/counts",
            f"/jobs/{id_}/status",
            f"/jobs/{id_}/events",
        ):
            assert (await client.get(f"/pgq{path}")).status_code == 401
        for verb in ("retry", "cancel"):
            assert (await client.post(f"/pgq/jobs/{id_}/{verb}")).status_code == 401
        assert (await client.get("/pgq/live")).status_code == 200
    async with app_client(database, dependencies=GUARD) as (_, client, _):
        for path in ("live", "ready", "metrics"):
            assert (await client.get(f"/pgq/{path}")).status_code == 401
            assert (await client.get(f"/pgq/{path}", headers=ANN)).status_code == 200


async def test_list_and_show(database: str) -> None:
    """Jobs are listed newest first in pages, filtered by state, and shown with their attempts."""
    async with app_client(database, jobs=GUARD) as (_, client, pgq):
        client.headers.update(ANN)
        ids = [await pgq.enqueue("echo", {"n": n}) for n in range(3)]
        failing = await pgq.enqueue("fail", b"\xff\x00", unique_key="k")
        await pgq.run(until_empty=True)
        page = (await client.get("/pgq/jobs", params={"limit": 2})).json()
        assert [job["id"] for job in page["jobs"]] == [failing, ids[2]]
        rest = (await client.get("/pgq/jobs", params={"before": page["next"]})).json()
        assert [job["id"] for job in rest["jobs"]] == [ids[1], ids[0]]
        assert rest["next"] is None
        failed = (await client.get("/pgq/jobs", params={"state": ["failed", "cancelled"]})).json()
        assert [job["id"] for job in failed["jobs"]] == [failing]
        assert failed["jobs"][0]["payload"] is None
        assert failed["jobs"][0]["payload_base64"] == "/wA="
        one = (await client.get(f"/pgq/jobs/{ids[0]}")).json()
        assert (one["state"], one["result"], one["payload"]) == ("succeeded", {"n": 0}, '{"n": 0}')
        assert [attempt["outcome"] for attempt in one["attempts"]] == ["succeeded"]
        broken = (await client.get(f"/pgq/jobs/{failing}")).json()
        assert broken["attempts"][0]["error"]["message"] == "it broke"
        assert "Traceback" in broken["attempts"][0]["error"]["traceback"]
        counts = (await client.get("/pgq/counts")).json()
        assert counts == {"echo": {"succeeded": 3}, "fail": {"failed": 1}}


async def test_retry_and_cancel(database: str) -> None:
    """Finished jobs can be retried, waiting ones cancelled; the rest is a 409 or a 404."""
    async with app_client(database, manage=GUARD) as (_, client, pgq):
        client.headers.update(ANN)
        failing = await pgq.enqueue("fail")
        await pgq.run(until_empty=True)
        again = await client.post(f"/pgq/jobs/{failing}/retry")
        assert again.json() == {"id": failing, "verdict": "retried"}
        assert (await pgq.queries.get_job(failing)).state == "ready"
        gone = await client.post(f"/pgq/jobs/{failing}/cancel")
        assert gone.json() == {"id": failing, "verdict": "cancelled"}
        assert (await client.post(f"/pgq/jobs/{failing}/cancel")).status_code == 409
        for verb in ("retry", "cancel"):
            assert (await client.post(f"/pgq/jobs/999999/{verb}")).status_code == 404


async def test_status_by_polling(database: str) -> None:
    """A job's status says where it stands, and its result or its error at the end."""
    async with app_client(database, status=GUARD) as (_, client, pgq):
        client.headers.update(ANN)
        good, bad = await pgq.enqueue("echo", 1), await pgq.enqueue("fail")
        before = (await client.get(f"/pgq/jobs/{good}/status")).json()
        assert (before["state"], before["finished"]) == ("ready", False)
        await pgq.run(until_empty=True)
        after = (await client.get(f"/pgq/jobs/{good}/status")).json()
        assert (after["state"], after["finished"], after["result"]) == ("succeeded", True, 1)
        failed = (await client.get(f"/pgq/jobs/{bad}/status")).json()
        assert (failed["state"], failed["error"]) == ("failed", "it broke")
        assert "Traceback" not in str(failed)
        assert (await client.get("/pgq/jobs/999999/status")).status_code == 404


async def test_live_and_ready(database: str) -> None:
    """`ready` names database, worker, listener, beats and lag; `live` asks nobody."""
    async with app_client(database, worker=True) as (app, client, _):
        assert (await client.get("/pgq/live")).json() == {"status": "alive"}

        async def ready() -> Any:
            answer = await client.get("/pgq/ready")
            return answer.json() if answer.status_code == 200 else None

        facts = await eventually(ready)
        assert (facts["database"], facts["worker"], facts["listener"]) == (
            True, "running", "listening",
        )  # fmt: skip
        assert facts["beat_age"] < 15
        assert facts["workers"] == 1
        runtime(app).stop()
        leaving = await client.get("/pgq/ready")
        assert leaving.status_code == 503
        assert leaving.json()["reasons"] == ["the server is stopping"]


async def test_ready_says_when_the_queue_lags(database: str, conn: Any) -> None:
    """With `max_lag` a queue that nobody serves makes the probe fail; without, it only tells."""
    async with app_client(database, max_lag=5.0) as (_, client, pgq):
        await pgq.enqueue("echo")
        assert (await client.get("/pgq/ready")).status_code == 200
        await conn.execute("UPDATE pgq_jobs SET created_at = created_at - interval '1 minute'")
        answer = await client.get("/pgq/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"][0].startswith("the oldest ready job has waited 6")
        assert answer.json()["lag"] > 59


async def test_ready_says_when_the_worker_is_down(database: str) -> None:
    """A worker that died makes the process not ready until it is back, and is never hidden."""
    pgq = make_pgq()

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        raise ConnectionError("a secret host name")
        yield

    pgq.resources = resources
    app = FastAPI(lifespan=pgq_lifespan(pgq, database))
    app.include_router(pgq_router())
    async with talking_to(app) as client:

        async def down() -> Any:
            answer = (await client.get("/pgq/ready")).json()
            return answer if answer["worker"] == "restarting" else None

        facts = await eventually(down)
        assert facts["reasons"] == ["the worker is restarting"]
        assert facts["last_error"] == "ConnectionError"
        assert "secret" not in str(facts)
        assert (await client.get("/pgq/live")).status_code == 200


async def test_without_the_database(private_server: Any) -> None:
    """When the database goes away the app answers 503 and stays; when it is back, so is all."""
    from pgq_core.queries import Queries

    pgq = make_pgq()
    app = FastAPI(lifespan=pgq_lifespan(pgq, private_server.dsn(), install=True))
    app.include_router(pgq_router(jobs=GUARD, status=GUARD))
    async with talking_to(app) as client:
        client.headers.update(ANN)
        assert isinstance(pgq.queries, Queries)
        private_server.stop()
        answer = await client.get("/pgq/ready")
        assert answer.status_code == 503
        assert "the database does not answer" in answer.json()["reasons"]
        assert (await client.get("/pgq/live")).status_code == 200
        assert (await client.get("/pgq/jobs")).status_code == 503
        assert (await client.get("/pgq/jobs/1/status")).status_code == 503
        assert "pgq_up 0.0" in (await client.get("/pgq/metrics")).text


async def test_without_a_lifespan_ready_says_so() -> None:
    """A router in an app whose lifespan does not run is not ready, and says why."""
    app = FastAPI()
    app.include_router(pgq_router())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        answer = await client.get("/pgq/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["no pgq lifespan runs for this app"]
