"""Cancelling jobs, pausing queues, stopping workers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest

from pgq_core import Context, Job, JobState, PgQueuer
from pgq_core.options import WorkerOptions
from pgq_core.worker.crew import end
from tests.support import eventually
from tests.worker.harness import Connection, finished, held, in_state, outcomes, working

# -- cancelling ---------------------------------------------------------------------------------


async def test_cancel_what_has_not_started(pgq: PgQueuer, conn: Connection) -> None:
    """A queued or deferred job that is cancelled never starts, and its unique key is free."""
    started: list[int] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.append(job.id)

    queued = await pgq.enqueue("work", unique_key="k")
    deferred = await pgq.enqueue("work", delay=0.05)
    other = await pgq.enqueue("work")
    verdicts = await pgq.queries.cancel([queued, deferred, 999_999], "changed my mind")
    assert verdicts == {queued: "cancelled", deferred: "cancelled", 999_999: "unknown"}
    again = await pgq.enqueue("work", unique_key="k")
    async with working(pgq):
        await finished(conn, other, again)
        sentinel = await pgq.enqueue("work", delay=0.1)  # due after `deferred` was
        await finished(conn, sentinel)
    assert started == [other, again, sentinel]
    job = await pgq.queries.get_job(queued)
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert job.error["message"] == "changed my mind"


async def test_cancel_a_running_job(pgq: PgQueuer, conn: Connection) -> None:
    """A running async handler is stopped at once when its job is cancelled, without a retry."""
    started = asyncio.Event()
    stopped: list[float] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            stopped.append(time.monotonic())

    async with working(pgq, idle_look=5.0):
        id_ = await pgq.enqueue("work")
        await started.wait()
        asked = time.monotonic()
        assert await pgq.queries.cancel([id_], "enough") == {id_: "requested"}
        job = await pgq.queries.wait(id_, 15)
    assert stopped[0] - asked < 1.0
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert job.error["message"] == "enough"
    assert await outcomes(conn, id_) == ["cancelled"]
    assert await conn.fetchval("SELECT count(*) FROM pgq_cancels") == 0
    assert await pgq.queries.cancel([id_]) == {id_: "finished"}


async def test_cancel_a_running_plain_function(pgq: PgQueuer, conn: Connection) -> None:
    """A running plain function sees `context.cancelled`; when it returns, the job is cancelled."""
    started = threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job, context: Context) -> str:
        started.set()
        end = time.monotonic() + 15
        while not context.cancelled and time.monotonic() < end:
            time.sleep(0.005)
        return "half done"

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await asyncio.to_thread(started.wait, 15)
        await pgq.queries.cancel([id_], "enough")
        job = await pgq.queries.wait(id_, 10)
    assert job.state is JobState.CANCELLED
    assert job.result is None


async def test_function_that_never_looks_succeeds(pgq: PgQueuer, conn: Connection) -> None:
    """A plain function that never looked and finished its work has succeeded, cancelled or not."""
    started, release = threading.Event(), threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job) -> str:
        started.set()
        release.wait(15)
        return "all done"

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await asyncio.to_thread(started.wait, 15)
        await pgq.queries.cancel([id_])
        release.set()
        job = await pgq.queries.wait(id_, 10)
    assert (job.state, job.result) == (JobState.SUCCEEDED, "all done")
    assert await conn.fetchval("SELECT count(*) FROM pgq_cancels") == 0


async def test_cancel_while_it_waits_for_its_retry(pgq: PgQueuer, conn: Connection) -> None:
    """A job that fails after its cancellation was asked is cancelled, and not retried."""
    started, release = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work", backoff=0.01)
    async def work(job: Job) -> None:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await release.wait()
        raise OSError("failed while being cancelled")

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await started.wait()
        await pgq.queries.cancel([id_])
        assert await finished(conn, id_) == ["cancelled"]
    assert await outcomes(conn, id_) == ["cancelled"]


async def test_cancel_meets_the_claim(pgq: PgQueuer, conn: Connection) -> None:
    """A cancellation that arrives in the moment its job is claimed stops it; the worker goes on."""
    started: list[int] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.append(job.id)

    id_ = await pgq.enqueue("work")
    # What `cancel` leaves when promotion moved the job between its two statements.
    await conn.execute("INSERT INTO pgq_cancels (job_id, reason) VALUES ($1, 'in between')", id_)
    async with working(pgq):
        assert await finished(conn, id_) == ["cancelled"]
        other = await pgq.enqueue("work")
        assert await finished(conn, other) == ["succeeded"]
    assert started == [other]
    assert await conn.fetchval("SELECT count(*) FROM pgq_cancels") == 0


async def test_waiting_for_a_thread_can_be_cancelled(pgq: PgQueuer, conn: Connection) -> None:
    """A plain function that waits for a free thread is cancelled at once and never starts."""
    release = threading.Event()
    started: list[int] = []

    @pgq.entrypoint("work")
    def work(job: Job) -> None:
        started.append(job.id)
        release.wait(15)

    async with working(pgq, threads=1):
        first = await pgq.enqueue("work")
        await in_state(conn, first, "running")
        second = await pgq.enqueue("work")
        await in_state(conn, second, "running")
        await pgq.queries.cancel([second])
        assert await finished(conn, second) == ["cancelled"]
        release.set()
        assert await finished(conn, first) == ["succeeded"]
    assert started == [first]


# -- pausing ------------------------------------------------------------------------------------


async def test_pause_and_resume_at_once(pgq: PgQueuer, conn: Connection) -> None:
    """A paused queue starts nothing more from then on; resumed, it goes on at once."""
    started: asyncio.Queue[int] = asyncio.Queue()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.put_nowait(job.id)

    @pgq.entrypoint("urgent", queue="urgent")
    async def urgent(job: Job) -> None:
        pass

    async with working(pgq) as worker:
        await finished(conn, await pgq.enqueue("work"))
        await started.get()
        await pgq.queries.pause("default")

        async def paused() -> bool:
            return all(lane.paused for lane in worker.lanes.by_id.values())

        began = time.monotonic()
        await eventually(paused)
        assert time.monotonic() - began < 0.5
        id_ = await pgq.enqueue("work")
        await finished(conn, await pgq.enqueue("urgent"))  # another queue goes on
        assert started.empty()
        began = time.monotonic()
        await pgq.queries.resume("default")
        assert await asyncio.wait_for(started.get(), 15) == id_
        assert time.monotonic() - began < 0.5


async def test_pause_one_entrypoint(pgq: PgQueuer, conn: Connection) -> None:
    """One entrypoint can be paused while its neighbours in the queue go on."""

    @pgq.entrypoint("mail")
    async def mail(job: Job) -> None:
        pass

    @pgq.entrypoint("other")
    async def other(job: Job) -> None:
        pass

    await pgq.queries.pause("default", "mail")
    async with working(pgq):
        waiting = await pgq.enqueue("mail")
        assert await finished(conn, await pgq.enqueue("other")) == ["succeeded"]
        await in_state(conn, waiting, "ready")
        await pgq.queries.resume("default", "mail")
        assert await finished(conn, waiting) == ["succeeded"]


async def test_paused_queue_does_not_keep_a_drain_alive(pgq: PgQueuer) -> None:
    """`until_empty` ends although a paused queue holds jobs."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    await pgq.queries.pause("default")
    await pgq.enqueue("work")
    await asyncio.wait_for(pgq.run(until_empty=True), 15)


# -- stopping -----------------------------------------------------------------------------------


async def test_until_empty_means_empty(pgq: PgQueuer, conn: Connection) -> None:
    """`until_empty` returns when everything due is done, jobs enqueued meanwhile included."""

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        if (depth := job.json()) > 0:
            await context.enqueue("work", depth - 1)

    @pgq.entrypoint("shaky", backoff=0)
    async def shaky(job: Job) -> None:
        if job.attempt == 1:
            raise OSError

    for _ in range(5):
        await pgq.enqueue("work", 5)
        await pgq.enqueue("shaky")
    await pgq.run(until_empty=True, concurrency=3)
    assert await pgq.queries.counts() == {"work": {"succeeded": 30}, "shaky": {"succeeded": 5}}


async def test_until_empty_on_nothing(pgq: PgQueuer) -> None:
    """`until_empty` on an empty queue returns at once."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    began = time.monotonic()
    await pgq.run(until_empty=True)
    assert time.monotonic() - began < 2


async def test_a_cancellation_that_is_taken_for_an_error() -> None:
    """A worker ends although a part of it takes the first cancellation for a failed connection."""
    cancellations = 0

    async def connect() -> None:
        nonlocal cancellations
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:  # as asyncpg does between two ways to connect
                cancellations += 1
                if cancellations > 1:
                    raise

    task = asyncio.create_task(connect())
    await asyncio.sleep(0)
    await asyncio.wait_for(end([task]), 10)
    assert (task.cancelled(), cancellations) == (True, 2)


async def test_max_jobs(pgq: PgQueuer, conn: Connection) -> None:
    """`max_jobs=n` runs exactly n jobs, and leaves the others to others."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(0.01)

    await pgq.queries.enqueue(["work"] * 10)
    await pgq.run(max_jobs=4, concurrency=3)
    assert await pgq.queries.counts() == {"work": {"succeeded": 4, "ready": 6}}
    assert await held(conn) == 0


async def test_stop_lets_running_jobs_finish(pgq: PgQueuer, conn: Connection) -> None:
    """`stop()` starts nothing more and waits for what runs."""
    release = asyncio.Event()
    started = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await release.wait()

    first = await pgq.enqueue("work")
    run = asyncio.create_task(pgq.run(concurrency=1))
    await started.wait()
    second = await pgq.enqueue("work")
    pgq.stop()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done()
    release.set()
    await asyncio.wait_for(run, 15)
    assert await finished(conn, first) == ["succeeded"]
    await in_state(conn, second, "ready")
    assert await held(conn) == 0
    assert await pgq.queries.workers() == []


async def test_stop_now_gives_back(pgq: PgQueuer, conn: Connection) -> None:
    """`stop(now=True)` cancels what runs and gives it back without spending an attempt."""
    started = asyncio.Queue[int]()

    @pgq.entrypoint("work", max_attempts=2)
    async def work(job: Job) -> None:
        started.put_nowait(job.attempt)
        if job.attempt < 4:
            await asyncio.sleep(30)

    id_ = await pgq.enqueue("work")
    for n in (1, 2, 3):
        async with working(pgq):
            assert await asyncio.wait_for(started.get(), 15) == n
            pgq.stop(now=True)
        await in_state(conn, id_, "ready")
        assert await conn.fetchval("SELECT spent FROM pgq_ready") == 0
    async with working(pgq):
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["interrupted"] * 3 + ["succeeded"]


async def test_at_most_once_is_not_given_back(
    pgq: PgQueuer, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A started job with `max_attempts=1` that a shutdown interrupts is failed, not run again."""
    started = asyncio.Event()

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> None:
        started.set()
        await asyncio.sleep(30)

    id_ = await pgq.enqueue("work")
    async with working(pgq):
        await started.wait()
        pgq.stop(now=True)
    job = await pgq.queries.get_job(id_)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "may start only once" in job.error["message"]
    assert f"job {id_} (work), attempt 1: interrupted, failed" in caplog.text


async def test_plain_function_is_given_back_when_it_returns(
    pgq: PgQueuer, conn: Connection
) -> None:
    """A plain function that sees the shutdown and returns is run again later, not marked done."""
    started = threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job, context: Context) -> str:
        started.set()
        while job.attempt == 1 and not context.cancelled:
            time.sleep(0.005)
        return "whole"

    id_ = await pgq.enqueue("work")
    async with working(pgq):
        await asyncio.to_thread(started.wait, 15)
        pgq.stop(now=True)
    await in_state(conn, id_, "ready")
    async with working(pgq):
        assert (await pgq.queries.wait(id_, 15)).result == "whole"
    assert await outcomes(conn, id_) == ["interrupted", "succeeded"]


async def test_what_never_began_is_given_back(pgq: PgQueuer, conn: Connection) -> None:
    """Plain functions that still wait for a thread are given back at a stop, whatever runs."""
    started, release = threading.Event(), threading.Event()

    @pgq.entrypoint("work", max_attempts=2)
    def work(job: Job) -> None:
        started.set()
        release.wait(15)

    ids = await pgq.queries.enqueue(["work"] * 3)
    async with working(pgq, threads=1, shutdown_timeout=0.05):
        await asyncio.to_thread(started.wait, 15)
        for id_ in ids:
            await in_state(conn, id_, "running")
        pgq.stop()
        await in_state(conn, ids[1], "ready")
        await in_state(conn, ids[2], "ready")
        release.set()
    assert await finished(conn, ids[0]) == ["succeeded"]
    assert await conn.fetch("SELECT spent FROM pgq_ready") == [(0,), (0,)]


async def test_shutdown_timeout_is_kept(
    pgq: PgQueuer, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that outlasts `shutdown_timeout` is cancelled then and given back, and the log says so."""
    started = asyncio.Event()
    lasted: list[float] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        began = time.monotonic()
        try:
            await asyncio.sleep(30)
        finally:
            lasted.append(time.monotonic() - began)

    id_ = await pgq.enqueue("work")
    async with working(pgq, shutdown_timeout=0.4):
        await started.wait()
    assert 0.35 < lasted[0] < 2
    assert "1 still running after 0.4 s: giving back" in caplog.text
    await in_state(conn, id_, "ready")


async def test_handler_that_ignores_its_timeout_is_stopped_at_the_end(
    pgq: PgQueuer, conn: Connection
) -> None:
    """A handler that swallowed its timeout and runs on is cancelled once more at a shutdown."""
    swallowed = asyncio.Event()

    @pgq.entrypoint("work", timeout=0.05)
    async def work(job: Job) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        swallowed.set()
        await asyncio.sleep(30)

    id_ = await pgq.enqueue("work")
    began = time.monotonic()
    async with working(pgq, shutdown_timeout=0.1):
        await swallowed.wait()
    assert time.monotonic() - began < 4
    assert await outcomes(conn, id_) == ["retry"]


async def test_handler_that_never_stops_is_left_behind(
    pgq: PgQueuer, conn: Connection, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A handler that cannot be stopped does not keep its worker from ending; the lease stays."""
    monkeypatch.setattr("pgq_core.worker.crew.LAST_WORDS", 0.2)
    started, release = threading.Event(), threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job) -> None:
        started.set()
        release.wait(15)

    id_ = await pgq.enqueue("work")
    try:
        async with working(pgq, shutdown_timeout=0.1):
            await asyncio.to_thread(started.wait, 15)
        assert f"job {id_} does not stop" in caplog.text
        assert await held(conn) == 1  # not given back while the thread lives: rescue will see to it
    finally:
        release.set()


async def test_cancelling_run_stops_in_order(pgq: PgQueuer, conn: Connection) -> None:
    """Cancelling the task of `run()` drains it like `stop()`, then raises CancelledError."""
    started, release = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await release.wait()

    id_ = await pgq.enqueue("work")
    run = asyncio.create_task(pgq.run())
    await started.wait()
    run.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, 15)
    assert await finished(conn, id_) == ["succeeded"]


async def test_cancelling_run_twice_stops_now(pgq: PgQueuer, conn: Connection) -> None:
    """Cancelling `run()` a second time stops at once: running jobs are given back."""
    started = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await asyncio.sleep(30)

    id_ = await pgq.enqueue("work")
    run = asyncio.create_task(pgq.run(shutdown_timeout=30))
    await started.wait()
    run.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, 15)
    assert time.monotonic() - began < 3
    await in_state(conn, id_, "ready")
    assert await outcomes(conn, id_) == ["interrupted"]


async def test_stop_before_run(pgq: PgQueuer) -> None:
    """`stop()` before the loop has begun is not lost: `run()` returns at once."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    pgq.stop()
    await asyncio.wait_for(pgq.run(), 15)


async def test_failed_start_leaves_nothing_running(
    pgq: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot start raises the reason, and leaves no thread and no session behind."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    async def refuse(*_: Any) -> None:
        raise ZeroDivisionError("not so")

    monkeypatch.setattr("pgq_core.worker.crew.declare_limits", refuse)
    with pytest.raises(ZeroDivisionError, match="not so"):
        await pgq.run_worker(pgq.worker(WorkerOptions()))

    async def gone() -> bool:
        return not any(t.name == "pgq-sentinel" for t in threading.enumerate())

    await eventually(gone)
    locks: Any = await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert locks == 0
