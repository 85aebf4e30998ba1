"""`queries.wait`: it looks now and then, and is woken when that takes long."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from pgq_core import Job, JobState, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.queries import Queries, ear, reading
from tests.support import eventually
from tests.worker.harness import FAR, Connection, working

EARS = """
SELECT array_agg(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN "pgq\\_%\\_-1"%'
"""
WANTED = "SELECT last_value > pgq_now_ms() FROM pgq_waiting"


@pytest.fixture(autouse=True)
def hardly_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few milliseconds `wait` does not look again within a test: it has to hear."""
    monkeypatch.setattr(reading, "FIRST_PAUSE", FAR)
    monkeypatch.setattr(reading, "LONGEST_PAUSE", FAR)
    monkeypatch.setattr(ear, "PATIENCE", 0.05)


@pytest.fixture
async def release(pgq: PgQueuer) -> asyncio.Event:
    """Lets the jobs of `work` end."""
    free = asyncio.Event()

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> str:
        await free.wait()
        if job.payload == b"fail":
            raise RuntimeError
        return "done"

    return free


async def heard(conn: Connection) -> list[int]:
    """Wait until results are waited for; which sessions do."""
    assert await eventually(lambda: conn.fetchval(EARS), what="somebody listens for results")
    assert await conn.fetchval(WANTED)
    ears: list[int] = await conn.fetchval(EARS)
    return ears


@pytest.mark.parametrize("payload", ["ok", "fail"])
async def test_the_end_wakes(
    pgq: PgQueuer, conn: Connection, release: asyncio.Event, payload: str
) -> None:
    """Whoever waits for a job hears of its end at once, whatever the end is."""
    async with working(pgq):
        id_ = await pgq.enqueue("work", payload)
        waiting = asyncio.create_task(pgq.queries.wait(id_))
        await heard(conn)
        release.set()
        job = await asyncio.wait_for(waiting, FAR / 2)
    assert job.state is (JobState.SUCCEEDED if payload == "ok" else JobState.FAILED)


async def test_a_cancel_wakes(pgq: PgQueuer, conn: Connection) -> None:
    """A job that is cancelled before it started has ended, too."""
    id_ = await pgq.enqueue("work", check=False)
    waiting = asyncio.create_task(pgq.queries.wait(id_))
    await heard(conn)
    await pgq.queries.cancel([id_])
    assert (await asyncio.wait_for(waiting, FAR / 2)).state is JobState.CANCELLED


async def test_an_end_just_before_we_hear(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that ended after the look and before anything could be heard is not slept over."""
    id_ = await pgq.enqueue("work", check=False)
    real = Queries.call

    async def slow(self: Queries, name: str, on: Any = None, /, **values: Any) -> list[Any]:
        if name == "expect":
            await conn.execute("SELECT pgq_cancel(ARRAY[$1::bigint], NULL)", id_)
        return await real(self, name, on, **values)

    monkeypatch.setattr(Queries, "call", slow)
    assert (await asyncio.wait_for(pgq.queries.wait(id_), FAR / 2)).state is JobState.CANCELLED


async def test_one_connection_for_all(
    pgq: PgQueuer, conn: Connection, release: asyncio.Event
) -> None:
    """All who wait in a process share one connection, which goes with the last of them."""
    async with working(pgq):
        ids = [await pgq.enqueue("work") for _ in range(20)]
        waiting = [asyncio.create_task(pgq.queries.wait(id_)) for id_ in [*ids, ids[0]]]
        assert len(await heard(conn)) == 1
        release.set()
        jobs = await asyncio.wait_for(asyncio.gather(*waiting), FAR / 2)
    assert [job.id for job in jobs] == [*ids, ids[0]]
    gone = EARS.replace("array_agg(pid)", "count(*) = 0")
    await eventually(lambda: conn.fetchval(gone), what="the connection is closed")


async def test_a_short_wait_opens_nothing(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that ends soon costs no connection, and no notification."""
    monkeypatch.setattr(ear, "PATIENCE", FAR)
    monkeypatch.setattr(reading, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(reading, "LONGEST_PAUSE", 0.05)
    pgq.entrypoint("quick")(lambda job: None)
    async with working(pgq):
        await pgq.queries.wait(await pgq.enqueue("quick"), 20)
    assert not await conn.fetchval(WANTED)


async def test_without_privileges_it_looks(
    database: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that may not ask to be told still sees the end at its next look."""
    monkeypatch.setattr(reading, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(reading, "LONGEST_PAUSE", 0.2)
    role = f"pgq_looks_{conn.get_server_pid()}"
    await conn.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON pgq_job_states TO {role}")
    try:
        own = await asyncpg.connect(database, user=role)
        queries = Queries(AsyncpgDriver(own))
        (id_,) = await Queries(AsyncpgDriver(conn)).enqueue("work")
        waiting = asyncio.create_task(queries.wait(id_))
        await eventually(lambda: useless(queries), what="it has tried")
        await Queries(AsyncpgDriver(conn)).cancel([id_])
        assert (await asyncio.wait_for(waiting, 20)).state is JobState.CANCELLED
        await own.close()
    finally:
        await conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def useless(queries: Queries) -> bool:
    return queries._ear._useless


async def test_the_connection_breaks(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the connection is lost, `wait` goes on looking."""
    monkeypatch.setattr(reading, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(reading, "LONGEST_PAUSE", 0.2)
    id_ = await pgq.enqueue("work", check=False)
    waiting = asyncio.create_task(pgq.queries.wait(id_))
    [pid] = await heard(conn)
    await conn.execute("SELECT pg_terminate_backend($1)", pid)
    await pgq.queries.cancel([id_])
    assert (await asyncio.wait_for(waiting, 20)).state is JobState.CANCELLED
