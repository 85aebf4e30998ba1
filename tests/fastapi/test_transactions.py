"""Enqueue in the request's transaction, and why its dependency has `scope="function"`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_core import PgQueuer
from pgq_fastapi import PgqDep, pgq_lifespan
from tests.fastapi.conftest import Serve
from tests.fastapi.inside import talking_to
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("deny_worker")

BANK = "tests.fastapi.apps.bank:app"


def url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://", 1)


async def jobs(conn: Any) -> int:
    count: int = await conn.fetchval("SELECT count(*) FROM pgq_jobs")
    return count


def fails(fail: bool) -> None:
    if fail:
        raise HTTPException(418)


def async_session_app(dsn: str, driver: str) -> FastAPI:
    engine = create_async_engine(url(dsn, driver), poolclass=NullPool)
    app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), dsn))

    async def open_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session, session.begin():
            yield session

    @app.post("/")
    async def post(
        queue: PgqDep,
        fail: bool = False,
        session: AsyncSession = Depends(open_session, scope="function"),  # noqa: B008
    ) -> None:
        await queue.enqueue("mail", connection=session, unique_key="k")
        await queue.enqueue("mail", connection=session, unique_key="k")
        await session.execute(text("SELECT 1"))
        fails(fail)

    return app


def sync_session_app(dsn: str, driver: str) -> FastAPI:
    engine = create_engine(url(dsn, driver), poolclass=NullPool)
    app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), dsn))

    def open_session() -> Iterator[Session]:
        with Session(engine) as session, session.begin():
            yield session

    @app.post("/")
    def post(
        queue: PgqDep,
        fail: bool = False,
        session: Session = Depends(open_session, scope="function"),  # noqa: B008
    ) -> None:
        queue.enqueue_sync("mail", connection=session, unique_key="k")
        queue.enqueue_sync("mail", connection=session, unique_key="k")
        session.execute(text("SELECT 1"))
        fails(fail)

    return app


def plain_app(dsn: str, driver: str) -> FastAPI:
    app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), dsn))

    @asynccontextmanager
    async def on_asyncpg() -> AsyncIterator[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def on_psycopg() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            yield connection

    async def open_connection() -> AsyncIterator[Any]:
        async with on_asyncpg() if driver == "asyncpg" else on_psycopg() as connection:
            yield connection

    @app.post("/")
    async def post(
        queue: PgqDep,
        fail: bool = False,
        connection: Any = Depends(open_connection, scope="function"),  # noqa: B008
    ) -> None:
        await queue.enqueue("mail", connection=connection, unique_key="k")
        await connection.execute("SELECT 1")
        fails(fail)

    return app


@pytest.mark.parametrize(
    ("make", "driver"),
    [
        (async_session_app, "asyncpg"),
        (async_session_app, "psycopg"),
        (sync_session_app, "psycopg"),
        (sync_session_app, "psycopg2"),
        (plain_app, "asyncpg"),
        (plain_app, "psycopg"),
    ],
)
async def test_job_lives_and_dies_with_the_request(
    database: str, conn: Any, make: Any, driver: str
) -> None:
    """A job enqueued on the request's session is there if the request succeeds, else gone."""
    if driver == "psycopg2":
        pytest.importorskip("psycopg2")
    async with talking_to(make(database, driver)) as client:
        assert (await client.post("/", params={"fail": True})).status_code == 418
        assert await jobs(conn) == 0
        assert (await client.post("/")).status_code == 200
        assert await jobs(conn) == 1


async def test_function_scope_commits_before_the_answer(
    serve: Serve, conn: Any, connect: Any
) -> None:
    """With `scope="function"` the answer comes after the commit; without, before it."""
    server = await serve(BANK).up()
    holder = await connect()
    await conn.execute("CREATE TABLE slow_commit ()")
    await holder.execute("SELECT pg_advisory_lock(3)")

    async def at_gate() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(await conn.fetchval(waiting))

    async with server.client() as client:
        # The client holds an answer, and the job it names is not committed: a trap.
        early = (await client.post("/wrong")).json()
        await eventually(at_gate)
        assert await conn.fetchval("SELECT id FROM pgq_jobs WHERE id = $1", early) is None
        await holder.execute("SELECT pg_advisory_unlock(3)")
        await holder.execute("SELECT pg_advisory_lock(3)")

        request = asyncio.create_task(client.post("/right"))
        await eventually(at_gate)
        assert not request.done()
        await holder.execute("SELECT pg_advisory_unlock(3)")
        late = (await request).json()
        assert await conn.fetchval("SELECT id FROM pgq_jobs WHERE id = $1", late) == late


@pytest.mark.filterwarnings("ignore:Using `httpx` with", "ignore:The anyio")
async def test_in_a_websocket(database: str) -> None:
    """`PgqDep` works in a websocket endpoint too."""
    from starlette.testclient import TestClient

    app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), database))

    @app.websocket("/")
    async def talk(socket: WebSocket, queue: PgqDep) -> None:
        await socket.accept()
        await socket.send_json(await queue.enqueue("mail"))
        await socket.close()

    def conversation() -> Any:
        with TestClient(app) as client, client.websocket_connect("/") as socket:
            return socket.receive_json()

    assert await asyncio.to_thread(conversation) > 0
