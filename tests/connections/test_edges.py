"""Around the matrix: pools, sync and async mixed up, things that are no connection of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest

from pgq_core import NewJob, PgQueuer, errors
from pgq_core.db import AsyncpgDriver
from tests.connections.conftest import Outside
from tests.connections.desks import DESKS, Desk


@pytest.fixture(params=["public", "no_such_schema"])
def schema(request: pytest.FixtureRequest) -> str:
    """A schema that exists without pgq in it, and one that does not exist."""
    return str(request.param)


@pytest.fixture(params=DESKS)
async def bare_desk(
    request: pytest.FixtureRequest, empty_database: str, schema: str
) -> AsyncIterator[Desk]:
    """A desk at a database without pgq."""
    async with request.param(empty_database, PgQueuer(schema=schema)) as opened:
        yield opened


async def test_missing_schema_says_what_to_run(bare_desk: Desk) -> None:
    """Without our tables, or their schema, every connection says so, and names the command."""
    with pytest.raises(errors.SchemaMissing, match="pgq-core install"):
        await bare_desk.enqueue()
    await bare_desk.do(bare_desk.rollback)
    with pytest.raises(errors.SchemaMissing):
        await bare_desk.enqueue(unique_key="k")


async def test_pool_of_asyncpg_is_taken(database: str, outside: Outside) -> None:
    """An asyncpg pool may be given too: each enqueue is a transaction of its own."""
    async with asyncpg.create_pool(database, min_size=0) as pool:
        id_ = await PgQueuer().enqueue("mail", connection=pool, check=False)
    assert await outside.ids() == [id_]


async def test_blocking_connection_in_a_coroutine(database: str, outside: Outside) -> None:
    """`await pgq.enqueue` takes a blocking connection as well, in its transaction."""
    with psycopg.connect(database) as connection:
        id_ = await PgQueuer().enqueue("mail", connection=connection, check=False)
        assert await outside.ids() == []
    assert await outside.ids() == [id_]


async def test_sync_enqueue_refuses_an_async_connection(conn: Any) -> None:
    """`enqueue_sync` on an asyncpg connection is an error that says what to use."""
    with pytest.raises(errors.InvalidInput, match=r"await pgq\.enqueue"):
        PgQueuer().enqueue_sync("mail", connection=conn, check=False)


async def test_something_else_is_refused_by_name() -> None:
    """What is no connection is refused with its type and what would do."""
    for thing in (object(), "postgresql://here", 5):
        with pytest.raises(errors.InvalidInput, match=f"{type(thing).__name__}; give an asyncpg"):
            await PgQueuer().enqueue("mail", connection=thing, check=False)
        with pytest.raises(errors.InvalidInput, match="psycopg"):
            PgQueuer().enqueue_many_sync([NewJob("mail")], connection=thing, check=False)


def test_session_on_another_database_is_refused() -> None:
    """A SQLAlchemy session on SQLite is refused: the queue lives in PostgreSQL."""
    orm = pytest.importorskip("sqlalchemy.orm")
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://")
    with orm.Session(engine) as session, pytest.raises(errors.InvalidInput, match="sqlite"):
        PgQueuer().enqueue_sync("mail", connection=session, check=False)
    engine.dispose()


def test_sync_enqueue_fills_in_the_entrypoint(database: str) -> None:
    """`enqueue_sync` knows the entrypoint's queue and priority, and refuses unknown names."""
    pgq = PgQueuer()

    @pgq.entrypoint("mail", queue="letters", priority=1)
    def mail(job: Any) -> None: ...

    with psycopg.connect(database) as connection:
        id_ = pgq.enqueue_sync("mail", connection=connection)
        found = connection.execute("SELECT queue, priority FROM pgq_jobs WHERE id = %s", [id_])
        assert found.fetchone() == ("letters", 1)
        with pytest.raises(errors.UnknownEntrypoint):
            pgq.enqueue_sync("male", connection=connection)


def test_nothing_is_imported_for_it() -> None:
    """Importing pgq_core imports neither SQLAlchemy nor psycopg."""
    code = (
        "import sys, pgq_core\n"
        "print(sorted({'sqlalchemy', 'psycopg', 'psycopg2', 'fastapi'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_driver_joins_a_transaction_begun_by_hand(
    conn: Any, database: str, outside: Outside, end: str
) -> None:
    """A BEGIN of your own on the driver's connection is joined, whatever pgq does in it."""
    own = await asyncpg.connect(database)
    pgq = PgQueuer(AsyncpgDriver(own))
    await own.execute("BEGIN")
    await pgq.queries.initialize()
    kept = await pgq.enqueue("mail", unique_key="k", on_duplicate="raise")
    async with pgq.batch(on_done=NewJob("report")) as batch:
        batch.add(NewJob("mail"))
    with pytest.raises(errors.DuplicateJob):
        await pgq.enqueue("mail", unique_key="k", on_duplicate="raise")
    assert await pgq.queries.cancel([kept]) == {kept: "cancelled"}
    assert await outside.ids() == []
    await own.execute(end)
    await own.close()
    assert (kept in await outside.ids()) == (end == "COMMIT")


async def test_no_jobs_no_statement() -> None:
    """Enqueueing nothing asks nothing of the connection."""
    assert await PgQueuer().enqueue_many([], connection=object()) == []
    assert PgQueuer().enqueue_many_sync([], connection=object()) == []
