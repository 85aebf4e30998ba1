"""What wakes an idle worker. Polls are `FAR` seconds apart here: only a wake-up can be quick."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from pgq_core import Context, Job, NewJob, PgQueuer, Retry, Snooze
from pgq_core.worker import Worker
from pgq_core.worker.line import Line
from tests.support import eventually
from tests.worker.harness import (
    FAR,
    Connection,
    asleep,
    finished,
    in_state,
    states_of,
    working,
)

SOON = 5.0  # far below a poll, far above a wake-up, whatever else this machine does
PROMPT = 0.5  # milliseconds on a quiet machine
assert FAR / 3 > 3 * SOON
QUICK = {"idle_look": FAR, "prune": False}

pytestmark = pytest.mark.usefixtures("far_polls")


async def settled(pgq: PgQueuer, worker: Worker) -> None:
    """Run one job, so that its lane is known, then wait until the worker sleeps."""
    await pgq.queries.wait(await pgq.enqueue("work"), 15)
    await asleep(worker)


async def seconds_until(condition: Callable[[], Awaitable[Any]]) -> float:
    began = time.monotonic()
    await eventually(condition)
    return time.monotonic() - began


def register(pgq: PgQueuer, *names: str, **options: Any) -> None:
    """Handlers that do nothing."""

    async def nothing(job: Job) -> None:
        pass

    for name in names:
        pgq.entrypoint(name, **options)(nothing)


async def test_plain_insert_wakes_an_idle_worker(
    pgq: PgQueuer, database: str, conn: Connection
) -> None:
    """An `INSERT INTO pgq_jobs` from any client wakes an idle worker at its commit."""
    register(pgq, "work")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        with psycopg.connect(database) as client:
            row = client.execute(
                "INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('work', 'x') RETURNING id"
            ).fetchone()
        assert row is not None
        began = time.monotonic()
        await finished(conn, row[0])
        assert time.monotonic() - began < SOON


async def test_copy_wakes_an_idle_worker(pgq: PgQueuer, database: str, conn: Connection) -> None:
    """COPY into pgq_jobs wakes an idle worker as an INSERT does."""
    register(pgq, "work")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        with (
            psycopg.connect(database) as client,
            client.cursor().copy("COPY pgq_jobs (entrypoint, payload) FROM STDIN") as copy,
        ):
            for n in range(250):
                copy.write_row(("work", b"%d" % n))

        async def all_done() -> bool:
            return (await pgq.queries.counts())["work"].get("succeeded") == 251

        assert await seconds_until(all_done) < SOON


async def test_wakes_again_and_again(pgq: PgQueuer, conn: Connection) -> None:
    """Every one of many single jobs is picked up when it comes, never at the next poll."""
    register(pgq, "work")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        for n in range(15):
            id_ = await pgq.enqueue("work")
            await asyncio.wait_for(pgq.queries.wait(id_), SOON)
            if n % 5 == 0:
                await asleep(worker)


async def test_wakes_after_a_long_sleep(pgq: PgQueuer, conn: Connection) -> None:
    """A worker that has slept for seconds is still named as idle, and woken."""
    register(pgq, "work")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        expiry = await conn.fetchval("SELECT (last_value >> 20) - pgq_now_ms() FROM pgq_idle")
        assert expiry / 1000 > worker.pace.next_look - time.monotonic()


async def test_new_entrypoint_and_priority_wake(pgq: PgQueuer, conn: Connection) -> None:
    """The first job ever of an entrypoint or priority wakes the worker too."""
    register(pgq, "work", "never seen")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        await asyncio.wait_for(finished(conn, await pgq.enqueue("never seen")), SOON)
        await asleep(worker)
        await asyncio.wait_for(finished(conn, await pgq.enqueue("work", priority=-7)), SOON)


async def test_mixed_batch_wakes(pgq: PgQueuer, conn: Connection) -> None:
    """A batch over several entrypoints wakes the worker for all of them."""
    register(pgq, "work", "a", "b")
    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        ids = await pgq.queries.enqueue(["a", "b", "work"])
        await asyncio.wait_for(finished(conn, *ids), SOON)


async def test_deferred_job_starts_when_due(pgq: PgQueuer, conn: Connection) -> None:
    """A deferred job starts at its time and never before it, though polls are far."""
    started: dict[int, datetime] = {}

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started[job.id] = datetime.now(timezone.utc)

    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        due = datetime.now(timezone.utc) + timedelta(seconds=0.8)
        ids = [
            await pgq.enqueue("work", run_at=due),
            await pgq.enqueue("work", run_at=due + timedelta(seconds=0.3)),
            await pgq.enqueue("work", run_at=due + timedelta(seconds=0.1)),
        ]
        await finished(conn, *ids)
    late = [(started[id_] - due).total_seconds() for id_ in ids]
    assert 0 <= late[0] < PROMPT
    assert 0.3 <= late[1] < 0.3 + PROMPT
    assert 0.1 <= late[2] < 0.1 + PROMPT


async def test_retry_and_snooze_wake_in_time(pgq: PgQueuer, conn: Connection) -> None:
    """A retry and a snooze start at their time, though polls are far."""
    started: dict[str, list[float]] = {"retry": [], "snooze": []}

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    @pgq.entrypoint("retry")
    async def retry(job: Job) -> None:
        started["retry"].append(time.monotonic())
        if job.attempt == 1:
            raise Retry(0.5)

    @pgq.entrypoint("snooze")
    async def snooze(job: Job) -> None:
        started["snooze"].append(time.monotonic())
        if job.attempt == 1:
            raise Snooze(0.7)

    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        await finished(conn, *(await pgq.queries.enqueue(["retry", "snooze"])))
    assert 0.49 < started["retry"][1] - started["retry"][0] < 0.5 + PROMPT
    assert 0.69 < started["snooze"][1] - started["snooze"][0] < 0.7 + PROMPT


async def test_put_back_by_hand_wakes(pgq: PgQueuer, conn: Connection) -> None:
    """`retry(ids)` of a failed job wakes an idle worker."""
    attempts: list[int] = []

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> None:
        attempts.append(job.attempt)
        if job.attempt == 1 and job.payload:
            raise OSError

    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        id_ = await pgq.enqueue("work", b"x")
        assert await finished(conn, id_) == ["failed"]
        await asleep(worker)
        assert await pgq.queries.retry([id_]) == {id_: "retried"}

        async def succeeded() -> bool:
            return await states_of(conn, [id_]) == ["succeeded"]

        assert await seconds_until(succeeded) < SOON


# -- several workers ----------------------------------------------------------------------------


async def named(conn: Connection) -> int:
    """The worker that the idle flag names."""
    number: int = await conn.fetchval("SELECT last_value & 1048575 FROM pgq_idle")
    return number


async def name(conn: Connection, worker: Worker) -> None:
    """Let the idle flag name this worker, and nobody have been woken just now."""
    await conn.execute(
        "SELECT setval('pgq_woken', 0), setval('pgq_idle', ((pgq_now_ms() + 60000) << 20) | $1)",
        worker.crew.worker_id,
    )


async def test_full_worker_passes_the_wake_up_on(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """When the idle worker that is named has become full meanwhile, another one takes the job."""
    release = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.payload:
            await release.wait()

    register(other, "work", "other")
    async with working(pgq, **QUICK, concurrency=1) as first:
        await settled(pgq, first)
        async with working(other, **QUICK) as second:
            await asleep(second)
            await name(conn, first)
            blocker = await pgq.enqueue("work", b"x")
            await in_state(conn, blocker, "running")
            for _ in range(3):
                await asleep(second)
                await name(conn, first)  # as it was a moment before it became full
                id_ = await pgq.enqueue("work")
                await asyncio.wait_for(finished(conn, id_), SOON)
                assert await named(conn) == second.crew.worker_id
            release.set()
            await finished(conn, blocker)


async def test_leaving_worker_passes_its_flag_on(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """After the worker that was named has stopped, the next one is woken at once."""
    register(pgq, "work")
    register(other, "work")
    async with working(pgq, **QUICK) as first:
        await settled(pgq, first)
        async with working(other, **QUICK) as second:
            await asleep(second)
            await name(conn, first)
            pgq.stop()

            async def taken_over() -> bool:
                return await named(conn) == second.crew.worker_id

            await eventually(taken_over)
            await asleep(second)
            await asyncio.wait_for(finished(conn, await pgq.enqueue("work")), SOON)


async def test_word_during_a_claim_is_kept(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation that is announced while a claim is under way is acted upon right after it."""
    started, stopped = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.payload:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

    original = Line.call
    victim = 0

    async def call(line: Line, name: str, /, **values: Any) -> list[Any]:
        nonlocal victim
        rows = await original(line, name, **values)
        if name == "claim" and victim:
            id_, victim = victim, 0
            await pgq.queries.cancel([id_])
            await asyncio.sleep(0.2)  # the word arrives before the answer
        return rows

    async with working(pgq, **QUICK) as worker:
        id_ = await pgq.enqueue("work", b"x")
        await started.wait()
        await asleep(worker)
        monkeypatch.setattr(Line, "call", call)
        victim = id_
        await pgq.enqueue("work")
        await asyncio.wait_for(stopped.wait(), SOON)


async def test_stranger_passes_the_wake_up_on(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """When the worker that is named does not serve the entrypoint, the one that does takes it."""
    register(pgq, "work")
    register(other, "other")
    async with working(other, **QUICK) as second:
        await pgq.queries.wait(await pgq.enqueue("other", check=False), 15)
        await asleep(second)
        async with working(pgq, **QUICK) as first:
            await settled(pgq, first)
            for _ in range(3):
                await name(conn, first)
                id_ = await pgq.enqueue("other", check=False)
                await asyncio.wait_for(finished(conn, id_), SOON)


async def test_queue_filter_passes_the_wake_up_on(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """A worker that serves other queues passes a wake-up on, and never takes the job."""
    ran_by: list[str] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        ran_by.append("mail")

    @other.entrypoint("work")
    async def work_too(job: Job) -> None:
        ran_by.append("default")

    async with working(other, **QUICK, queues=["default"]) as second:
        await settled(other, second)
        async with working(pgq, **QUICK, queues=["mail"]) as first:
            await pgq.queries.wait(await pgq.enqueue("work", queue="mail"), 15)
            await asleep(first)
            await name(conn, first)
            await asyncio.wait_for(finished(conn, await other.enqueue("work")), SOON)
    assert ran_by == ["default", "mail", "default"]


async def test_batch_wakes_more_than_one(pgq: PgQueuer, other: PgQueuer, conn: Connection) -> None:
    """A batch too big for the worker that was woken is shared with the other idle ones."""
    release = asyncio.Event()
    ran: dict[str, int] = {"first": 0, "second": 0}

    def blocking(name: str) -> Callable[[Job], Awaitable[None]]:
        async def work(job: Job) -> None:
            if job.payload:
                ran[name] += 1
                await release.wait()

        return work

    pgq.entrypoint("work")(blocking("first"))
    other.entrypoint("work")(blocking("second"))
    async with working(pgq, **QUICK, concurrency=2) as first:
        await settled(pgq, first)
        async with working(other, **QUICK, concurrency=2) as second:
            await asleep(second)
            ids = [job.id for job in await pgq.enqueue_many([NewJob("work", b"x")] * 4)]

            async def both_full() -> bool:
                return ran == {"first": 2, "second": 2}

            assert await seconds_until(both_full) < SOON
            release.set()
            await finished(conn, *ids)


# -- order and filters --------------------------------------------------------------------------


async def test_lower_priority_number_runs_first(pgq: PgQueuer, conn: Connection) -> None:
    """Priority 0 runs before 5, and 5 before 10, over all entrypoints; equals as they came."""
    order: list[tuple[int, int]] = []

    async def work(job: Job) -> None:
        order.append((job.priority, job.id))

    pgq.entrypoint("a")(work)
    pgq.entrypoint("b", priority=0)(work)
    for n in range(24):
        await pgq.enqueue("ab"[n % 2], priority=[10, 5, 0, -3, None, 5][n % 6])
    await pgq.run(concurrency=1, until_empty=True)
    assert [priority for priority, _ in order] == sorted(priority for priority, _ in order)
    assert len(order) == 24
    for wanted in {priority for priority, _ in order}:
        for ids in ([id_ for p, id_ in order if p == wanted and id_ % 2 == m] for m in (0, 1)):
            assert ids == sorted(ids)


async def test_queues_choose_what_is_served(pgq: PgQueuer, conn: Connection) -> None:
    """A worker with `queues=[…]` starts jobs of these queues only."""
    register(pgq, "work")
    ids = await pgq.queries.enqueue(["work"] * 3, queues=["a", "b", "c"])
    async with working(pgq, queues=["a", "c"]):
        await finished(conn, ids[0], ids[2])
        await in_state(conn, ids[1], "ready")


async def test_unknown_entrypoint_waits_and_blocks_nobody(
    pgq: PgQueuer, other: PgQueuer, conn: Connection
) -> None:
    """Jobs for an entrypoint nobody serves wait, hold up nobody, and start once it is served."""
    register(pgq, "work")
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, priority) "
        "SELECT 'nobody', 0 FROM generate_series(1, 500)"
    )
    id_ = await pgq.enqueue("work", priority=9)
    async with working(pgq, concurrency=2):
        await asyncio.wait_for(finished(conn, id_), SOON)
        assert (await pgq.queries.counts())["nobody"] == {"ready": 500}
        register(other, "nobody")
        async with working(other):

            async def all_done() -> bool:
                return (await pgq.queries.counts())["nobody"] == {"succeeded": 500}

            await eventually(all_done)
    assert await conn.fetchval("SELECT max(attempt) FROM pgq_attempts") == 1


async def test_handler_enqueues_for_itself(pgq: PgQueuer, conn: Connection) -> None:
    """A chain of jobs, each enqueued by the one before, does not wait for polls."""

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        if depth := job.json():
            await context.enqueue("work", depth - 1)

    async with working(pgq, **QUICK) as worker:
        await settled(pgq, worker)
        await pgq.enqueue("work", 30)

        async def all_done() -> bool:
            return (await pgq.queries.counts())["work"].get("succeeded") == 32

        assert await seconds_until(all_done) < SOON
