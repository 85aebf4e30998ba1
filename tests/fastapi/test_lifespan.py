"""The lifespan: opens the queue, runs a worker, composes with yours, closes in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pgq_core import Job, PgQueuer, errors
from pgq_core.db import AsyncpgPoolDriver
from pgq_fastapi import LifespanMissing, PgqDep, pgq_lifespan, pgq_of
from pgq_fastapi.runtime import KEY, Runtime
from tests.support import eventually


def echoing() -> PgQueuer:
    """A registry with one handler."""
    pgq = PgQueuer()

    @pgq.entrypoint("echo")
    async def echo(job: Job) -> Any:
        return job.json()

    return pgq


def in_process(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app")


async def test_app_enqueues_and_its_worker_runs(database: str) -> None:
    """One lifespan is all an app needs to enqueue in an endpoint and to run the job."""
    pgq = echoing()
    app = FastAPI(lifespan=pgq_lifespan(pgq, database))

    @app.post("/")
    async def post(queue: PgqDep) -> int:
        return await queue.enqueue("echo", {"a": 1})

    async with app.router.lifespan_context(app), in_process(app) as client:
        id_ = (await client.post("/")).json()
        job = await pgq.queries.wait(id_, timeout=20)
        assert job.result == {"a": 1}
    with pytest.raises(errors.NotBound):
        _ = pgq.queries


async def test_worker_is_gone_when_the_app_is(database: str, conn: Any) -> None:
    """When the app has closed, its worker has signed off and every connection is closed."""
    pgq = echoing()
    before = await conn.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    async with pgq_lifespan(pgq, database)(FastAPI()) as state:
        supervisor = state[KEY].supervisor
        await eventually(lambda: is_running(supervisor))
        assert await conn.fetchval("SELECT count(*) FROM pgq_workers") == 1
    assert supervisor.state == "stopped"
    assert await conn.fetchval("SELECT count(*) FROM pgq_workers") == 0

    async def closed() -> bool:
        return before == await conn.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )

    await eventually(closed)


async def is_running(supervisor: Any) -> bool:
    return bool(supervisor.state == "running")


async def test_your_lifespan_runs_inside(database: str) -> None:
    """Your own lifespan is entered after the queue, may enqueue, and is left after the worker."""
    pgq = echoing()
    seen: list[Any] = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append(await pgq.enqueue("echo", "at start"))
        yield {"mine": "here"}
        seen.append(app.state.pgq_runtime.supervisor.state)
        seen.append(await pgq.enqueue("echo", "at end"))

    app = FastAPI()
    async with pgq_lifespan(pgq, database, inner=mine)(app) as state:
        assert state["mine"] == "here"
        assert isinstance(state[KEY], Runtime)
        assert app.state.pgq_runtime is state[KEY]
    assert seen[1] == "stopped"
    assert seen[2] > seen[0]
    assert not hasattr(app.state, KEY)


async def test_on_a_router(database: str) -> None:
    """The lifespan may belong to a router; the app's own state and the router's are merged."""
    pgq = echoing()
    router = APIRouter(lifespan=pgq_lifespan(pgq, database))

    @router.post("/")
    async def post(queue: PgqDep, request: Request) -> list[Any]:
        return [await queue.enqueue("echo"), hasattr(request.app.state, KEY)]

    app = FastAPI()
    app.include_router(router)
    async with app.router.lifespan_context(app), in_process(app) as client:
        assert (await client.post("/")).json()[1] is True


async def test_without_a_lifespan_the_error_says_so() -> None:
    """An endpoint that asks for the queue without a lifespan fails with what is to be done."""
    app = FastAPI()

    @app.get("/")
    async def get(queue: PgqDep) -> None: ...

    async with in_process(app) as client:
        with pytest.raises(LifespanMissing, match=r"FastAPI\(lifespan=pgq_lifespan"):
            await client.get("/")


async def test_starlette_alone(database: str) -> None:
    """Starlette without FastAPI works too: `pgq_of(request)` gives the queue."""
    pgq = echoing()

    async def post(request: Request) -> JSONResponse:
        return JSONResponse(await pgq_of(request).enqueue("echo", 1))

    app = Starlette(
        routes=[Route("/", post, methods=["POST"])], lifespan=pgq_lifespan(pgq, database)
    )
    async with app.router.lifespan_context(app), in_process(app) as client:
        id_ = (await client.post("/")).json()
        assert (await pgq.queries.wait(id_, timeout=20)).result == 1


async def test_missing_schema_stops_the_start(empty_database: str) -> None:
    """An app on a database without our tables does not start, and says what to run."""
    with pytest.raises(errors.SchemaMissing, match="pgq-core install"):
        async with pgq_lifespan(echoing(), empty_database)(FastAPI()):
            pass


async def test_install_for_development(empty_database: str) -> None:
    """With `install=True` the tables are made at the start."""
    pgq = echoing()
    async with pgq_lifespan(pgq, empty_database, install=True)(FastAPI()):
        id_ = await pgq.enqueue("echo", 2)
        assert (await pgq.queries.wait(id_, timeout=20)).result == 2


async def test_sqlalchemys_url_will_do(database: str) -> None:
    """The URL your engine has, driver and all, opens the queue and its worker's own line."""
    pgq, url = echoing(), database.replace("postgresql", "postgresql+asyncpg", 1)
    async with pgq_lifespan(pgq, url, listen_dsn=url)(FastAPI()):
        assert (await pgq.queries.wait(await pgq.enqueue("echo", 2), timeout=20)).result == 2


async def test_unreachable_database_stops_the_start() -> None:
    """A wrong DSN is an error at the start, without the password in it."""
    dsn = "postgresql://me:secret@127.0.0.1:1/none"
    with pytest.raises(errors.DatabaseUnreachable) as caught:
        async with pgq_lifespan(echoing(), dsn)(FastAPI()):
            pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("word", ["0", "false", "off", "No"])
async def test_worker_off_by_environment(
    database: str, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """PGQ_WORKER=0 makes the same image a web process that only enqueues."""
    monkeypatch.setenv("PGQ_WORKER", word)
    async with pgq_lifespan(echoing(), database)(FastAPI()) as state:
        assert state[KEY].worker_facts() == {"worker": "off"}


async def test_worker_off_in_code_stays_off(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`worker=False` is never overruled; a PGQ_WORKER that is no word for yes or no is an error."""
    monkeypatch.setenv("PGQ_WORKER", "1")
    async with pgq_lifespan(echoing(), database, worker=False)(FastAPI()) as state:
        assert state[KEY].supervisor is None
    monkeypatch.setenv("PGQ_WORKER", "maybe")
    with pytest.raises(errors.InvalidInput, match="PGQ_WORKER"):
        async with pgq_lifespan(echoing(), database)(FastAPI()):
            pass


async def test_driver_of_your_own_is_kept(database: str) -> None:
    """A PgQueuer that has a driver keeps it, and your pool stays open when the app closes."""
    async with asyncpg.create_pool(database, min_size=0) as pool:
        pgq = echoing()
        pgq.bind(AsyncpgPoolDriver(pool))
        async with pgq_lifespan(pgq)(FastAPI()):
            id_ = await pgq.enqueue("echo", 3)
            assert (await pgq.queries.wait(id_, timeout=20)).result == 3
        assert await pool.fetchval("SELECT 1") == 1
        assert pgq.queries is not None


async def test_two_queues_in_one_app_are_refused(database: str) -> None:
    """Two lifespans in one app would make PgqDep ambiguous: an error at the start."""
    inner = pgq_lifespan(echoing(), database, worker=False)
    with pytest.raises(errors.InvalidInput, match="two pgq lifespans"):
        async with pgq_lifespan(echoing(), database, inner=inner)(FastAPI()):
            pass


async def test_two_queues_by_routers_are_refused(database: str) -> None:
    """The same where two included routers bring a queue each."""
    app = FastAPI()
    for _ in range(2):
        lifespan = pgq_lifespan(echoing(), database, worker=False)
        app.include_router(APIRouter(lifespan=lifespan))
    with pytest.raises(errors.InvalidInput, match="two pgq lifespans"):
        async with app.router.lifespan_context(app):
            pass


async def test_bad_options_fail_when_the_lifespan_is_made() -> None:
    """Options are checked when you write them, not when the app starts."""
    with pytest.raises(errors.InvalidInput, match="concurrency"):
        pgq_lifespan(PgQueuer(), concurrency=0)


async def test_dead_worker_is_replaced(database: str) -> None:
    """A worker that dies is replaced while the app goes on; what it died of is told."""
    pgq = echoing()
    tries: list[int] = []

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no cache server")
        yield

    pgq.resources = resources
    async with pgq_lifespan(pgq, database)(FastAPI()) as state:
        runtime: Runtime = state[KEY]

        async def is_restarting() -> bool:
            return runtime.worker_facts()["worker"] == "restarting"

        await eventually(is_restarting)
        assert runtime.worker_facts()["last_error"] == "ConnectionError"
        id_ = await pgq.enqueue("echo", 4)
        assert (await pgq.queries.wait(id_, timeout=20)).result == 4
        assert runtime.worker_facts()["restarts"] == 2


async def test_worker_that_cannot_be_made_is_tried_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while a worker is made, another try follows."""
    pgq = echoing()
    tries, make = [MemoryError("just now")], pgq.worker

    def worker(options: Any) -> Any:
        if tries:
            raise tries.pop()
        return make(options)

    monkeypatch.setattr(pgq, "worker", worker)
    async with pgq_lifespan(pgq, database)(FastAPI()):
        id_ = await pgq.enqueue("echo", 5)
        assert (await pgq.queries.wait(id_, timeout=20)).result == 5


async def test_leaving_while_the_worker_is_down(database: str) -> None:
    """An app whose worker waits for its restart closes at once."""
    pgq = echoing()

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        raise ConnectionError("never")
        yield

    pgq.resources = resources
    async with pgq_lifespan(pgq, database)(FastAPI()) as state:
        runtime: Runtime = state[KEY]

        async def is_restarting() -> bool:
            return runtime.worker_facts()["worker"] == "restarting"

        await eventually(is_restarting)
    assert state[KEY].supervisor.state == "stopped"


async def test_same_lifespan_twice(database: str) -> None:
    """The same app may be started again after it has closed, as tests do."""
    pgq = echoing()
    lifespan = pgq_lifespan(pgq, database)
    for value in (1, 2):
        async with lifespan(FastAPI()):
            id_ = await pgq.enqueue("echo", value)
            assert (await pgq.queries.wait(id_, timeout=20)).result == value


async def test_error_in_the_app_still_closes(database: str, conn: Any) -> None:
    """If the block raises, the worker still signs off and the pool closes."""
    pgq = echoing()

    async def fail() -> None:
        async with pgq_lifespan(pgq, database)(FastAPI()) as state:
            await eventually(lambda: is_running(state[KEY].supervisor))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await conn.fetchval("SELECT count(*) FROM pgq_workers") == 0
