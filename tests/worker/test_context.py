"""What a handler can do through its context."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from pgq_core import Context, Job, JobState, NewJob, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.errors import InvalidInput, LeaseLost
from tests.support import eventually
from tests.worker.harness import (
    Connection,
    finished,
    held,
    in_state,
    outcomes,
    states_of,
    working,
)


async def test_progress_can_be_watched(pgq: PgQueuer) -> None:
    """`context.progress` shows how far a running job is, at most about a second late."""
    release = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        for n in range(1, 1001):
            context.progress(n / 2000, f"step {n}")
        await context.progress(0.5, "half\x00way")  # may be awaited
        await release.wait()

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        told = await eventually(lambda: pgq.queries.get_progress(id_))
        assert told[0] == 0.5
        release.set()
        await pgq.queries.wait(id_, 15)


async def test_progress_out_of_range_is_refused(pgq: PgQueuer) -> None:
    """A fraction outside 0 to 1 is refused, naming the value."""

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job, context: Context) -> None:
        context.progress(1.5)

    async with working(pgq):
        job = await pgq.queries.wait(await pgq.enqueue("work"), 15)
    assert job.error is not None
    assert "1.5" in job.error["message"]


async def test_plain_functions_use_the_context(pgq: PgQueuer, conn: Connection) -> None:
    """A plain function enqueues and reads results through its context, as a coroutine does."""

    @pgq.entrypoint("one")
    def one(job: Job, context: Context) -> int:
        two = NewJob("two", after=[context.job.id])
        return int(context.enqueue_sync(two))

    @pgq.entrypoint("two")
    def two(job: Job, context: Context) -> Any:
        return list(context.results_sync().values())

    first = await pgq.enqueue("one")
    async with working(pgq):
        second = (await pgq.queries.wait(first, 15)).result
        assert (await pgq.queries.wait(second, 15)).result == [second]


@pytest.mark.parametrize("verb", ["results", "enqueue"])
async def test_coroutines_are_told_to_await(pgq: PgQueuer, verb: str) -> None:
    """The forms for plain functions would stop the loop of a coroutine; it is told what to use."""

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job, context: Context) -> None:
        getattr(context, f"{verb}_sync")(*(["work"] if verb == "enqueue" else []))

    async with working(pgq):
        job = await pgq.queries.wait(await pgq.enqueue("work"), 15)
    assert job.error is not None
    assert f"await context.{verb}(" in job.error["message"]


async def test_resources_are_open_while_the_worker_runs(database: str) -> None:
    """`PgQueuer(resources=…)` opens them when the worker starts and closes them at its end."""
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def resources() -> AsyncIterator[dict[str, str]]:
        events.append("open")
        yield {"client": "http"}
        events.append("close")

    async with PgQueuer.connect(database, resources=resources) as pgq:

        @pgq.entrypoint("work")
        async def work(job: Job, context: Context) -> Any:
            events.append("work")
            return context.resources

        @pgq.entrypoint("plain")
        def plain(job: Job, context: Context) -> Any:
            return [context.resources, context.job.id == job.id]

        async with working(pgq):
            first = await pgq.queries.wait(await pgq.enqueue("work"), 15)
            second = await pgq.queries.wait(await pgq.enqueue("plain"), 15)
    assert first.result == {"client": "http"}
    assert second.result == [{"client": "http"}, True]
    assert events == ["open", "work", "close"]


async def test_enqueue_from_a_handler(pgq: PgQueuer) -> None:
    """A handler enqueues follow-up jobs with `context.enqueue`."""

    @pgq.entrypoint("parent")
    async def parent(job: Job, context: Context) -> int:
        child: int = await context.enqueue("child", {"from": job.id}, priority=1)
        return child

    @pgq.entrypoint("child")
    async def child(job: Job) -> Any:
        return job.json()

    async with working(pgq):
        id_ = await pgq.enqueue("parent")
        follower = (await pgq.queries.wait(id_, 15)).result
        assert (await pgq.queries.wait(follower, 15)).result == {"from": id_}


async def test_enqueue_with_options_from_a_handler(pgq: PgQueuer) -> None:
    """`context.enqueue` takes what `pgq.enqueue` takes, and a NewJob."""

    @pgq.entrypoint("parent")
    async def parent(job: Job, context: Context) -> Any:
        child = await context.enqueue("child", priority=1, delay=60, unique_key="k")
        other = await context.enqueue(NewJob("child", b"other", priority=2))
        return [child, other]

    @pgq.entrypoint("child")
    async def child(job: Job) -> None: ...

    async with working(pgq):
        first, second = (await pgq.queries.wait(await pgq.enqueue("parent"), 15)).result
    found = await pgq.queries.get_job(first)
    assert (found.priority, found.state.value, found.unique_key) == (1, "deferred", "k")
    found = await pgq.queries.get_job(second)
    assert (found.priority, found.payload) == (2, b"other")


async def test_a_new_job_and_options_at_once(pgq: PgQueuer) -> None:
    """Options beside a NewJob would be lost, so they are refused by name."""
    with pytest.raises(InvalidInput, match=r"delay=5 beside a NewJob"):
        await pgq.enqueue(NewJob("work"), delay=5)
    with pytest.raises(InvalidInput, match=r"payload=b'x' beside a NewJob"):
        await pgq.enqueue(NewJob("work"), b"x")


# -- transaction --------------------------------------------------------------------------------


@pytest.fixture
async def effects(conn: Connection) -> None:
    """A table of the user's own."""
    await conn.execute("CREATE TABLE effects (job bigint, attempt integer)")


@pytest.mark.parametrize("transactional", [True, False])
@pytest.mark.usefixtures("effects")
async def test_commit_completes_the_job(
    pgq: PgQueuer, conn: Connection, transactional: bool
) -> None:
    """The handler's effects and its job's completion are one commit, whatever comes afterwards."""

    outside = pgq.queries.driver

    @pgq.entrypoint("work", transactional=transactional)
    async def work(job: Job, context: Context) -> None:
        async with context.transaction({"kept": job.id}) as connection:
            await connection.execute("INSERT INTO effects VALUES ($1, $2)", job.id, job.attempt)
            assert await states_of(outside, [job.id]) == ["running"]
        assert await states_of(outside, [job.id]) == ["succeeded"]
        raise RuntimeError("too late to matter")

    ids = [job.id for job in await pgq.enqueue_many([NewJob("work")] * 3)]
    async with working(pgq):
        assert await finished(conn, *ids) == ["succeeded"] * 3
        assert (await pgq.queries.get_job(ids[2])).result == {"kept": ids[2]}
    assert await conn.fetchval("SELECT count(*) FROM effects") == 3
    assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 3
    assert await held(conn) == 0
    assert await conn.fetchval("SELECT count(*) FROM pgq_workers") == 0


@pytest.mark.usefixtures("effects")
async def test_raising_rolls_back_and_retries(pgq: PgQueuer, conn: Connection) -> None:
    """Raising inside the transaction takes the effects back, and the job is retried."""

    @pgq.entrypoint("work", backoff=0.01, transactional=True)
    async def work(job: Job, context: Context) -> None:
        async with context.transaction() as connection:
            await connection.execute("INSERT INTO effects VALUES ($1, $2)", job.id, job.attempt)
            if job.attempt < 3:
                raise OSError

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["retry", "retry", "succeeded"]
    assert [r["attempt"] for r in await conn.fetch("SELECT attempt FROM effects")] == [3]


@pytest.mark.usefixtures("effects")
async def test_lease_lost_rolls_back(pgq: PgQueuer, conn: Connection) -> None:
    """When another worker owns the job by now, the transaction raises LeaseLost and rolls back."""
    raised: list[BaseException] = []
    outside = pgq.queries.driver

    @pgq.entrypoint("work", transactional=True)
    async def work(job: Job, context: Context) -> None:
        try:
            async with context.transaction() as connection:
                await connection.execute("INSERT INTO effects VALUES ($1, $2)", job.id, job.attempt)
                if job.attempt == 1:
                    await outside.execute("DELETE FROM pgq_workers")
                    await outside.execute(
                        "SELECT pgq_rescue(ARRAY(SELECT worker_id FROM pgq_leases))"
                    )
        except LeaseLost as error:
            raised.append(error)
            raise

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["lost", "succeeded"]
    assert [r["attempt"] for r in await conn.fetch("SELECT attempt FROM effects")] == [2]
    assert f"attempt 1 of job {id_}" in str(raised[0])


@pytest.mark.usefixtures("effects")
async def test_job_is_completed_only_once(pgq: PgQueuer, conn: Connection) -> None:
    """A second `transaction()` after the one that completed the job is refused before it begins."""
    refused: list[BaseException] = []
    release = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        async with context.transaction():
            pass
        try:
            async with context.transaction() as connection:
                await connection.execute("INSERT INTO effects VALUES (0, 0)")
        except InvalidInput as error:
            refused.append(error)

    @pgq.entrypoint("neighbour")
    async def neighbour(job: Job) -> None:
        await release.wait()

    made = await pgq.enqueue_many([NewJob("work"), NewJob("neighbour")])
    ids = [job.id for job in made]
    async with working(pgq):
        await finished(conn, ids[0])
        await in_state(conn, ids[1], "running")
        release.set()
        assert await finished(conn, ids[1]) == ["succeeded"]
    assert len(refused) == 1
    assert await conn.fetchval("SELECT count(*) FROM effects") == 0


async def test_transactions_of_one_lease_leave_nothing_behind(
    pgq: PgQueuer, conn: Connection
) -> None:
    """Jobs of one batch may complete by transaction and by return, at the same moment."""
    barrier = asyncio.Event()
    inside = 0

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        nonlocal inside
        if job.id % 2:
            await barrier.wait()
            return
        async with context.transaction():
            inside += 1
            if inside == 4:
                barrier.set()
            await barrier.wait()

    ids = [job.id for job in await pgq.enqueue_many([NewJob("work")] * 8)]
    async with working(pgq):
        assert await finished(conn, *ids) == ["succeeded"] * 8
    assert await held(conn) == 0
    assert await conn.fetchval("SELECT count(*) FROM pgq_workers") == 0


async def test_transaction_on_a_single_connection(database: str, conn: Connection) -> None:
    """On a driver of one connection, a handler may enqueue inside its own transaction."""
    single = await asyncpg.connect(database)
    pgq = PgQueuer(AsyncpgDriver(single))

    @pgq.entrypoint("work", max_attempts=1, timeout=5)
    async def work(job: Job, context: Context) -> None:
        async with context.transaction() as connection:
            await connection.execute("SELECT 1")
            await context.enqueue("child")

    @pgq.entrypoint("child")
    async def child(job: Job) -> None:
        pass

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        assert (await pgq.queries.wait(id_, 15)).state is JobState.SUCCEEDED

        async def child_done() -> bool:
            return bool(await pgq.queries.get_jobs(entrypoint="child", states=["succeeded"]))

        await eventually(child_done)
    await single.close()


async def test_transaction_held_long_does_not_look_like_a_stall(
    database: str, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that holds the only connection for long is no blocked loop, and keeps its job."""
    single = await asyncpg.connect(database)
    pgq = PgQueuer(AsyncpgDriver(single))

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job, context: Context) -> None:
        context.progress(0.1)
        async with context.transaction():
            context.progress(0.5)
            await asyncio.sleep(2.5)

    async with working(pgq, lease=1.0):
        id_ = await pgq.enqueue("work")
        assert await finished(conn, id_) == ["succeeded"]
    assert "has been blocked" not in caplog.text
    assert "no beat" not in caplog.text
    await single.close()
