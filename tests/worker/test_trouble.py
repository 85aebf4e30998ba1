"""Connections break, answers get lost, the server goes away and comes back."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgq_core import Context, Job, JobState, NewJob, PgQueuer
from pgq_core.db import AsyncpgDriver, AsyncpgPoolDriver
from pgq_core.embedded import EmbeddedServer
from pgq_core.models import Job as JobModel
from pgq_core.worker import Worker
from pgq_core.worker.book import NOWHERE, Book
from pgq_core.worker.line import Line
from tests.support import eventually
from tests.worker.harness import (
    FAR,
    Connection,
    asleep,
    finished,
    held,
    in_state,
    outcomes,
    states_of,
    working,
)

ROLES = ["claim", "flush", "sentinel"]


async def terminate(connection: Connection, worker: Worker, role: str) -> None:
    """End the session that plays this role, from the server's side."""
    if role == "sentinel":
        pid = await connection.fetchval(
            "SELECT l.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() "
            "AND a.pid <> pg_backend_pid()"
        )
    else:
        crew = worker.crew
        line = crew.claimer.line if role == "claim" else crew.flusher.line
        pid = line._connection.get_server_pid()
    assert await connection.fetchval("SELECT pg_terminate_backend($1)", pid)

    async def gone() -> bool:
        return not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid
        )

    await eventually(gone)


class Steps:
    """A handler that tells when it starts and goes on when told."""

    def __init__(self, pgq: PgQueuer, name: str = "work", **options: Any) -> None:
        self.started: list[tuple[int, int]] = []
        self.stopped: list[int] = []
        self.release = asyncio.Event()
        pgq.entrypoint(name, **options)(self.run)

    async def run(self, job: Job) -> str | None:
        self.started.append((job.id, job.attempt))
        if not job.payload:
            return None
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.stopped.append(job.id)
            raise
        return f"attempt {job.attempt}"

    async def running(self, count: int) -> None:
        async def so_many() -> bool:
            return len(self.started) >= count

        await eventually(so_many, what=f"{count} handlers have started")


# -- sessions end -------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("far_polls")
async def test_ended_session_is_replaced(pgq: PgQueuer, conn: Connection, role: str) -> None:
    """When any session of a worker is ended it reconnects and hears again; nothing is doubled."""
    steps = Steps(pgq)
    async with working(pgq, idle_look=FAR, prune=False) as worker:
        await finished(conn, await pgq.enqueue("work"))  # now every line is open
        steps.started.clear()
        before = await pgq.enqueue("work", b"x")
        await steps.running(1)
        connections = worker.crew.sentinel.pulse.connections
        await terminate(conn, worker, role)
        if role == "sentinel":

            async def back() -> bool:
                return worker.crew.sentinel.pulse.connections > connections

            await eventually(back)
        steps.release.set()
        assert await finished(conn, before) == ["succeeded"]
        await asleep(worker)
        id_ = await pgq.enqueue("work")
        await asyncio.wait_for(finished(conn, id_), 3)
        locked = await conn.fetchval("SELECT locked_at IS NOT NULL FROM pgq_workers")
        assert locked
    assert steps.started == [(before, 1), (id_, 1)]
    assert await outcomes(conn, before) == ["succeeded"]


async def test_sessions_end_all_the_time(pgq: PgQueuer, other: PgQueuer, conn: Connection) -> None:
    """While sessions of two busy workers are ended again and again, every job succeeds once."""
    steps, more = Steps(pgq), Steps(other)
    count = 3000
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint) SELECT 'work' FROM generate_series(1, $1)", count
    )
    async with working(pgq, concurrency=20) as first, working(other, concurrency=20) as second:

        async def all_done() -> bool:
            done = await conn.fetchval(
                "SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'"
            )
            return bool(done >= count)

        for n in range(12):
            for worker in (first, second):
                try:
                    await terminate(conn, worker, ROLES[n % 3])
                except (AssertionError, AttributeError, asyncpg.PostgresError):
                    pass  # it is reconnecting just now
            await asyncio.sleep(0.05)
        await eventually(all_done, patience=40)
    assert (
        await conn.fetchval("SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'")
        == count
    )
    assert await conn.fetchval("SELECT count(*) FROM pgq_ready") == 0
    assert await held(conn) == 0
    assert len(steps.started) + len(more.started) == len({*steps.started, *more.started})


async def test_lock_of_a_lost_session_does_not_silence_the_beats(
    pgq: PgQueuer, database: str, conn: Connection, connect: Any
) -> None:
    """While the server still holds the lock of a lost session, beats keep the worker alive."""
    steps = Steps(pgq)
    async with working(pgq, lease=1.0) as worker:
        id_ = await pgq.enqueue("work", b"x")
        await steps.running(1)
        key = worker.crew.sentinel.identity.key
        ghost = await connect()  # the session that the server believes in
        waiting = asyncio.create_task(ghost.execute("SELECT pg_advisory_lock($1)", key))
        queued = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await eventually(lambda: conn.fetchval(queued))
        await terminate(conn, worker, "sentinel")
        await waiting
        await asyncio.sleep(2.5)  # two and a half leases
        assert await conn.fetchval("SELECT clock_timestamp() - beat_at < '1 s' FROM pgq_workers")
        assert await conn.fetchval("SELECT locked_at IS NULL FROM pgq_workers")
        await ghost.close()

        async def locked_again() -> bool:
            return bool(await conn.fetchval("SELECT locked_at IS NOT NULL FROM pgq_workers"))

        await eventually(locked_again)
        steps.release.set()
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["succeeded"]


async def test_without_beats_nothing_is_started(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose beats do not arrive gives its jobs back before the lease ends, and waits."""
    steps = Steps(pgq)
    async with working(pgq, lease=1.0) as worker:
        id_ = await pgq.enqueue("work", b"x")
        await steps.running(1)
        presence, silent = worker.crew.sentinel.presence, threading.Event()
        beat = presence.beat

        async def no_beat(*args: Any, **options: Any) -> None:
            if silent.is_set():
                await asyncio.sleep(0.05)
            else:
                await beat(*args, **options)

        monkeypatch.setattr(presence, "beat", no_beat)
        silent.set()

        async def given_back() -> bool:
            return steps.stopped == [id_]

        await eventually(given_back)
        await in_state(conn, id_, "ready")
        await asyncio.sleep(0.5)
        assert len(steps.started) == 1
        silent.clear()
        await steps.running(2)
        steps.release.set()
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["interrupted", "succeeded"]


async def test_worker_may_meet_its_own_lost_job(
    pgq: PgQueuer, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker whose lease was taken runs the job again beside the old thread, and fences that."""
    release, ends = threading.Event(), asyncio.Queue[int]()
    loop = asyncio.get_running_loop()

    @pgq.entrypoint("work")
    def work(job: Job) -> int:
        if job.attempt == 1:
            release.wait(15)
        loop.call_soon_threadsafe(ends.put_nowait, job.attempt)
        return job.attempt

    async with working(pgq) as worker:
        id_ = await pgq.enqueue("work")
        await in_state(conn, id_, "running")
        await conn.execute("DELETE FROM pgq_workers")
        await conn.execute("SELECT pgq_rescue(ARRAY(SELECT worker_id FROM pgq_leases))")
        assert await finished(conn, id_) == ["succeeded"]
        assert len(worker.book.running) == 1  # the thread, which takes a slot while it lives
        release.set()
        assert [await ends.get(), await ends.get()] == [2, 1]

        async def nothing_runs() -> bool:
            return not worker.book.running and not worker.book.leases

        await eventually(nothing_runs)
    assert await outcomes(conn, id_) == ["lost", "succeeded"]
    assert (await pgq.queries.get_job(id_)).result == 2
    assert await pgq.queries.workers() == []


# -- answers get lost ---------------------------------------------------------------------------


class LosesAnswers:
    """Lets a statement be executed and committed, then loses the answer with the connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, statement: str, times: int) -> None:
        self.lost = 0
        original = Line.call

        async def call(line: Line, name: str, /, **values: Any) -> list[Any]:
            rows = await original(line, name, **values)
            interesting = len(rows) > 1 if statement == "claim" else values.get("jobs")
            if name == statement and interesting and self.lost < times:
                self.lost += 1
                line.drop()
                raise ConnectionResetError("the answer was lost")
            return rows

        monkeypatch.setattr(Line, "call", call)


async def test_lost_answer_of_a_claim(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of a claim whose answer was lost are given back and run, and no attempt is spent."""
    loses = LosesAnswers(monkeypatch, "claim", 2)
    steps = Steps(pgq, max_attempts=1)
    ids = [job.id for job in await pgq.enqueue_many([NewJob("work")] * 5)]
    async with working(pgq):
        assert await finished(conn, *ids) == ["succeeded"] * 5
    assert loses.lost == 2
    for id_ in ids:
        assert (await outcomes(conn, id_))[-1] == "succeeded"
        assert set((await outcomes(conn, id_))[:-1]) <= {"interrupted"}
    assert len(steps.started) == 5
    assert await held(conn) == 0


async def test_lost_answer_of_the_last_claim(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops right after an answer was lost gives the jobs back before it leaves."""
    loses = LosesAnswers(monkeypatch, "claim", 100)
    steps = Steps(pgq, max_attempts=1)
    id_ = await pgq.enqueue("work")
    async with working(pgq):

        async def lost() -> bool:
            return loses.lost > 0

        await eventually(lost)
        pgq.stop()
    assert await states_of(conn, [id_]) == ["ready"]
    assert steps.started == []
    assert await pgq.queries.workers() == []


async def test_lost_answer_of_a_suspect_s_claim(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspect whose claim's answer was lost goes back to where it runs alone."""
    LosesAnswers(monkeypatch, "claim", 100)
    Steps(pgq)
    id_ = await pgq.enqueue("work")
    await conn.execute(
        "WITH lane AS (INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint) "
        "SELECT pgq_lane_id('default', 'work', 5, 'alone'), 5, 'alone', 'default', 'work') "
        "UPDATE pgq_ready SET lane_id = pgq_lane_id('default', 'work', 5, 'alone'), crashes = 2"
    )
    async with working(pgq):

        async def came_back() -> bool:
            return await outcomes(conn, id_) != []

        await eventually(came_back)
        pgq.stop()
    assert await conn.fetchval(
        "SELECT lane_id = pgq_lane_id('default', 'work', 5, 'alone') AND crashes = 2 FROM pgq_ready"
    )


async def test_lost_answer_of_a_flush(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A success whose answer was lost is recorded once; a retry is queued once."""
    loses = LosesAnswers(monkeypatch, "finish", 3)
    started: list[tuple[int, int]] = []

    @pgq.entrypoint("work", backoff=0.01)
    async def work(job: Job) -> None:
        started.append((job.id, job.attempt))
        if job.payload and job.attempt == 1:
            raise OSError

    ids = [job.id for job in await pgq.enqueue_many([NewJob("work", b"x"), NewJob("work")] * 4)]
    async with working(pgq):
        assert await finished(conn, *ids) == ["succeeded"] * 8
    assert loses.lost == 3
    assert len(started) == len(set(started)) == 12
    assert await outcomes(conn, ids[0]) == ["retry", "succeeded"]
    assert await outcomes(conn, ids[1]) == ["succeeded"]
    assert await held(conn) == 0
    assert "refused" not in caplog.text


async def test_outcome_that_cannot_be_written(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome the database refuses costs only its own details; its neighbours are written."""
    bad: list[int] = []
    original = Line.call

    async def call(line: Line, name: str, /, **values: Any) -> list[Any]:
        if name == "finish":
            for id_, result in zip(values["jobs"], values["results"], strict=True):
                if id_ in bad and result is not None:
                    raise asyncpg.DataError("no such luck")
        return await original(line, name, **values)

    monkeypatch.setattr(Line, "call", call)

    @pgq.entrypoint("work")
    async def work(job: Job) -> int:
        return job.id

    ids = [job.id for job in await pgq.enqueue_many([NewJob("work")] * 6)]
    bad.append(ids[2])
    async with working(pgq):
        assert await finished(conn, *ids) == ["succeeded"] * 6
    jobs = [await pgq.queries.get_job(id_) for id_ in ids]
    assert [job.result for job in jobs] == [None if id_ in bad else id_ for id_ in ids]
    assert jobs[2].error is not None
    assert jobs[2].error["type"] == "OutcomeNotStored"
    assert await held(conn) == 0


async def test_outcome_that_can_never_be_written(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry the database refuses even without its details becomes a failure that says so."""
    original = Line.call

    async def call(line: Line, name: str, /, **values: Any) -> list[Any]:
        if name == "finish" and "retry" in values["outcomes"]:
            raise asyncpg.DataError("no such luck")
        return await original(line, name, **values)

    monkeypatch.setattr(Line, "call", call)

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.payload:
            raise OSError

    made = await pgq.enqueue_many([NewJob("work", b"x"), NewJob("work")])
    async with working(pgq):
        assert await finished(conn, *[job.id for job in made]) == ["failed", "succeeded"]
    job = await pgq.queries.get_job(made[0].id)
    assert job.error is not None
    assert job.error["type"] == "OutcomeNotStored"


def test_lease_numbers_may_repeat() -> None:
    """After a server crash a lease number can come again; the old lease keeps its own fence."""
    book = Book()
    book.open([{"lease_id": 5}, {"lease_id": 5}], token=1)
    old = book.leases[5]
    book.open([{"lease_id": 5}], token=2)
    new = book.leases[5]
    assert (old.id, old.token, old.open) == (NOWHERE, 1, 2)
    assert (new.id, new.token, new.open) == (5, 2, 1)
    book.settle(old, 2)
    assert book.leases == {5: new}
    book.settle(new)
    assert book.leases == {}


# -- the server ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def module_server() -> Iterator[EmbeddedServer]:
    """A server that the tests of this module restart; it keeps its data when it stops."""
    directory = Path(tempfile.mkdtemp(prefix="pgq-test-", dir="/tmp"))
    directory.chmod(0o755)  # the server's account must reach it
    settings = {"max_connections": "50"}
    with EmbeddedServer(directory / "data", settings=settings, tcp=True) as server:
        yield server
    shutil.rmtree(directory)


@pytest.fixture
async def restarted(module_server: EmbeddedServer) -> AsyncIterator[PgQueuer]:
    """A PgQueuer, freshly installed, on a server that the test may restart."""
    admin = await asyncpg.connect(module_server.dsn())
    await admin.execute("DROP DATABASE IF EXISTS app WITH (FORCE)")
    await admin.execute("CREATE DATABASE app")
    await admin.close()
    async with PgQueuer.connect(module_server.dsn("app")) as pgq:
        await pgq.queries.initialize()
        yield pgq


async def again(pgq: PgQueuer, method: str, *args: Any) -> Any:
    """Ask until the server answers: connections of the pool may be broken."""
    for _ in range(100):
        try:
            return await getattr(pgq.queries, method)(*args)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_server_restarts(
    restarted: PgQueuer, module_server: EmbeddedServer, mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of the server, crash included, loses no job; what runs goes on, once."""
    pgq = restarted
    steps = Steps(pgq)
    done = Steps(pgq, "quick")
    ids = [job.id for job in await pgq.enqueue_many([NewJob("work", b"x")] * 10)]
    quick = [job.id for job in await pgq.enqueue_many([NewJob("quick")] * 10)]
    async with working(pgq):
        await steps.running(10)
        for id_ in quick:
            assert (await pgq.queries.wait(id_, 20)).state is JobState.SUCCEEDED
        # A claim is not flushed at once; by now the outcomes of its neighbours have been.
        await asyncio.to_thread(module_server.restart, mode)
        later = await again(pgq, "enqueue", "work")
        steps.release.set()
        for id_ in [*ids, *quick, *later]:
            job = await again(pgq, "wait", id_, 20)
            assert job.state is JobState.SUCCEEDED
        for id_ in ids:
            assert [a.outcome for a in await again(pgq, "get_attempts", id_)] == ["succeeded"]
    assert sorted(steps.started) == [(id_, 1) for id_ in [*ids, *later]]
    assert sorted(done.started) == [(id_, 1) for id_ in quick]
    assert "the server was restarted" in caplog.text


async def test_server_crashes_under_load(
    restarted: PgQueuer, module_server: EmbeddedServer
) -> None:
    """Crashes of the server in the middle of the work lose no job, and no success counts twice."""
    pgq = restarted
    ended: list[int] = []

    @pgq.entrypoint("work", backoff=0.01, max_attempts=50)
    async def work(job: Job) -> None:
        await asyncio.sleep(0.002)
        ended.append(job.id)

    count = 6000
    for n in range(0, count, 1000):
        await pgq.enqueue_many([NewJob("work") for _ in range(1000)])
        assert n < count
    async with working(pgq, concurrency=50):
        for _ in range(2):
            so_far = len(ended)

            async def progress(reached: int = so_far + 500) -> bool:
                return len(ended) >= min(reached, count)

            await eventually(progress)
            await asyncio.to_thread(module_server.restart, "immediate")

        async def all_done() -> bool:
            try:
                return bool(
                    await pgq.queries.driver.fetch(
                        "SELECT FROM pgq_attempts WHERE outcome = 'succeeded' "
                        "HAVING count(*) >= $1", count,
                    )
                )  # fmt: skip
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False

        await eventually(all_done, patience=60)
        rows = await again(pgq, "counts")
    assert rows == {"work": {"succeeded": count}}
    twice = await pgq.queries.driver.fetch(
        "SELECT FROM pgq_attempts WHERE outcome = 'succeeded' GROUP BY job_id HAVING count(*) > 1"
    )
    assert twice == []
    assert set(ended) >= set(range(1, count + 1))


async def test_server_is_away_for_seconds(
    restarted: PgQueuer, module_server: EmbeddedServer
) -> None:
    """While the server is away running jobs go on; their outcomes are written when it is back."""
    pgq = restarted
    steps = Steps(pgq)
    ids = [job.id for job in await pgq.enqueue_many([NewJob("work", b"x")] * 5)]
    async with working(pgq, lease=10.0) as worker:
        await steps.running(5)
        await asyncio.to_thread(module_server.stop, "fast")
        steps.release.set()

        async def ended() -> bool:
            return not worker.book.running

        await eventually(ended)
        await asyncio.sleep(2)
        await asyncio.to_thread(module_server.start)
        for id_ in ids:
            job = await again(pgq, "wait", id_, 20)
            assert (job.state, job.result) == (JobState.SUCCEEDED, "attempt 1")
    assert len(steps.started) == 5
    assert steps.stopped == []


async def test_stopping_while_the_server_is_away(
    restarted: PgQueuer, module_server: EmbeddedServer
) -> None:
    """A worker told to stop while the server is away ends within about its lease."""
    pgq = restarted
    steps = Steps(pgq)
    id_ = await pgq.enqueue("work", b"x")
    began = 0.0
    try:
        async with working(pgq, lease=1.0, shutdown_timeout=0.2):
            await steps.running(1)
            await asyncio.to_thread(module_server.stop, "immediate")
            began = time.monotonic()
        assert time.monotonic() - began < 10
    finally:
        await asyncio.to_thread(module_server.start)
    async with working(pgq):
        steps.release.set()
        job = await again(pgq, "wait", id_, 20)
    assert job.state is JobState.SUCCEEDED


# -- drivers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["connection", "pool", "small pool"])
async def test_driver_made_by_the_user(database: str, conn: Connection, kind: str) -> None:
    """A worker runs on an asyncpg connection or pool of yours, and opens what else it needs."""
    steps_done = 0

    async def serve(pgq: PgQueuer) -> None:
        nonlocal steps_done

        @pgq.entrypoint("work")
        async def work(job: Job, context: Context) -> str:
            context.progress(0.5)
            async with context.transaction() as connection:
                found = await connection.fetchval("SELECT current_database()")
            return str(found)

        @pgq.entrypoint("plain")
        def plain(job: JobModel) -> str:
            return "plain"

        async with working(pgq):
            ids = await pgq.queries.enqueue(["work", "plain"] * 5)
            assert await finished(conn, *ids) == ["succeeded"] * 10
            steps_done += 1

    if kind == "connection":
        connection = await asyncpg.connect(database)
        await serve(PgQueuer(AsyncpgDriver(connection)))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    else:
        size = 1 if kind == "small pool" else 4
        async with asyncpg.create_pool(database, min_size=size, max_size=size) as pool:
            await serve(PgQueuer(AsyncpgPoolDriver(pool)))
            assert await pool.fetchval("SELECT 1") == 1
    assert steps_done == 1


async def test_driver_over_tcp_without_tls(
    restarted: PgQueuer, module_server: EmbeddedServer
) -> None:
    """A worker's own connections reach a server over TCP that offers no TLS, as the user's did."""
    async with asyncpg.create_pool(module_server.dsn("app"), min_size=0) as pool:
        pgq = PgQueuer(AsyncpgPoolDriver(pool))
        steps = Steps(pgq)
        async with working(pgq):
            id_ = await pgq.enqueue("work")
            await pgq.queries.wait(id_, 20)
    assert steps.started == [(id_, 1)]
