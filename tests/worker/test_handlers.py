"""What a handler does becomes the job's outcome, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from pgq_core import Cancel, Context, Job, JobState, NewJob, PgQueuer, Retry, Snooze
from pgq_core.errors import JobNotFound, WaitTimeout
from pgq_core.outcomes import Outcome
from pgq_core.retries import Backoff
from tests.support import eventually
from tests.worker.harness import Connection, finished, held, in_state, outcomes, working


async def run_one(pgq: PgQueuer, entrypoint: str = "work", **options: Any) -> Job:
    """Enqueue a job, run it with a worker of its own and return it finished."""
    async with working(pgq):
        id_ = await pgq.enqueue(entrypoint, **options)
        return await pgq.queries.wait(id_, 15)


# -- results ------------------------------------------------------------------------------------


async def test_async_handler_returns_a_result(pgq: PgQueuer) -> None:
    """What an `async def` handler returns is the job's result."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> Any:
        return {"seen": job.json(), "attempt": job.attempt, "state": job.state.value}

    job = await run_one(pgq, payload={"n": 1}, headers={"tenant": "a"})
    assert job.state is JobState.SUCCEEDED
    assert job.result == {"seen": {"n": 1}, "attempt": 1, "state": "running"}
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


async def test_plain_handler_runs_in_a_thread(pgq: PgQueuer) -> None:
    """A plain `def` handler runs in a thread, so it may block without stopping its neighbours."""
    release = threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job) -> str:
        release.wait(15)
        return threading.current_thread().name

    @pgq.entrypoint("neighbour")
    async def neighbour(job: Job) -> None:
        release.set()

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await pgq.enqueue("neighbour")
        job = await pgq.queries.wait(id_, 15)
    assert job.result.startswith("pgq-handler")


async def test_handler_gets_the_whole_job(pgq: PgQueuer) -> None:
    """A handler sees the job as it was enqueued: payload, headers, queue, priority, key, limits."""
    seen: list[Job] = []

    @pgq.entrypoint("work", queue="mail", priority=1, max_attempts=7)
    async def work(job: Job) -> None:
        seen.append(job)

    id_ = await pgq.enqueue(
        "work", b"\x00\xff", headers={"a": [1]}, unique_key="k", timeout=9.0, max_attempts=3
    )
    async with working(pgq):
        await pgq.queries.wait(id_, 15)
    (job,) = seen
    assert (job.id, job.queue, job.entrypoint, job.priority) == (id_, "mail", "work", 1)
    assert (job.payload, job.headers, job.unique_key) == (b"\x00\xff", {"a": [1]}, "k")
    assert (job.timeout, job.max_attempts, job.attempt) == (9.0, 3, 1)


async def test_max_attempts_left_to_the_entrypoint(pgq: PgQueuer) -> None:
    """A handler always knows how many attempts there are; from outside None means: as its
    entrypoint says."""
    seen: list[int | None] = []

    @pgq.entrypoint("work", max_attempts=7)
    async def work(job: Job) -> None:
        seen.append(job.max_attempts)

    for wish, shown in ((None, None), (3, 3)):
        assert (await run_one(pgq, max_attempts=wish)).max_attempts == shown
    assert seen == [7, 3]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(None, b"", id="none"),
        pytest.param(b"\x00\xff", b"\x00\xff", id="bytes"),
        pytest.param("text ✓", "text ✓".encode(), id="text"),
        pytest.param({"a": 1}, b'{"a": 1}', id="JSON"),
    ],
)
async def test_payload_arrives_as_it_was_sent(pgq: PgQueuer, payload: Any, expected: bytes) -> None:
    """Bytes arrive as they are, a str as UTF-8, anything else as JSON; none is empty bytes."""
    seen: list[bytes] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        seen.append(job.payload)

    await run_one(pgq, payload=payload)
    assert seen == [expected]


class Loud(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="no JSON"),
        pytest.param(math.nan, id="NaN"),
        pytest.param([math.inf], id="infinity"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param({"\ud800": 1}, id="lone surrogate"),
        pytest.param("x" * 70_000, id="too large"),
        pytest.param({1, 2}, id="set"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(functools.reduce(lambda inner, _: [inner], range(9000), []), id="deep"),
    ],
)
async def test_result_that_cannot_be_stored(pgq: PgQueuer, conn: Connection, value: Any) -> None:
    """A result that JSON cannot hold is dropped and says so; the job has succeeded all the same."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> Any:
        return value

    job = await run_one(pgq)
    assert job.state is JobState.SUCCEEDED
    assert job.result is None
    assert job.error is not None
    assert job.error["type"] == "ResultNotStored"
    assert await outcomes(conn, job.id) == ["succeeded"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param('{"a": ' + "[" * 3000 + "]" * 3000 + "}", id="deep"),
        pytest.param("[1]", id="no object"),
    ],
)
async def test_headers_nobody_can_read(pgq: PgQueuer, conn: Connection, headers: str) -> None:
    """A job whose headers nobody can read (only SQL writes such) runs without them, and is told."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> Any:
        return job.headers

    job = await conn.fetchval(
        "INSERT INTO pgq_jobs (entrypoint, headers) VALUES ('work', $1) RETURNING id", headers
    )
    async with working(pgq):
        done = await pgq.queries.wait(job, 15)
    assert (done.state, done.headers, done.result) == (JobState.SUCCEEDED, {}, {})


async def test_results_survive_the_round_trip(pgq: PgQueuer) -> None:
    """Any JSON value comes back as it was returned."""
    values = [0, "", False, [], {"deep": [[[[1.5]]]]}, "\\u0000", "ünï ✓ 🐘"]

    @pgq.entrypoint("work")
    async def work(job: Job) -> Any:
        return values[job.json()]

    async with working(pgq):
        ids = [await pgq.enqueue("work", n) for n in range(len(values))]
        assert [(await pgq.queries.wait(id_, 15)).result for id_ in ids] == values


async def test_wait_returns_failures_too(pgq: PgQueuer) -> None:
    """`wait` ends with the job, also when it failed, and raises for a job that is too slow."""
    release = asyncio.Event()

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> None:
        await release.wait()
        raise ValueError("as told")

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        with pytest.raises(WaitTimeout, match=f"job {id_} is still"):
            await pgq.queries.wait(id_, 0.05)
        release.set()
        job = await pgq.queries.wait(id_, 15)
        with pytest.raises(JobNotFound):
            await pgq.queries.wait(id_ + 1, 0.05)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error["type"], job.error["message"]) == ("builtins.ValueError", "as told")


# -- raising ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit(3), "3"),
        (KeyboardInterrupt(), ""),
        (asyncio.CancelledError("my own"), "my own"),
        (GeneratorExit(), ""),
        (StopIteration(5), "StopIteration"),
        (StopAsyncIteration(), ""),
        (Loud(), "could not be read"),
        (Exception("a\x00b \ud800"), "a\\x00b"),
        (MemoryError(), ""),
    ],
    ids=["exit", "interrupt", "cancelled", "close", "stop", "async stop", "loud", "text", "memory"],
)
async def test_whatever_is_raised_ends_the_attempt_only(
    pgq: PgQueuer, error: BaseException, message: str, kind: str
) -> None:
    """Whatever a handler raises is recorded as its job's failure, and the worker goes on."""

    async def work_async(job: Job) -> None:
        raise error

    def work_plain(job: Job) -> None:
        raise error

    pgq.entrypoint("work", max_attempts=1)(work_async if kind == "async" else work_plain)

    @pgq.entrypoint("next")
    async def next_one(job: Job) -> str:
        return "alive"

    async with working(pgq, concurrency=1):
        id_ = await pgq.enqueue("work", b"kept")
        after = await pgq.enqueue("next")
        job = await pgq.queries.wait(id_, 15)
        assert (await pgq.queries.wait(after, 15)).result == "alive"
    assert job.state is JobState.FAILED
    assert job.payload == b"kept"
    assert job.error is not None
    assert message in job.error["message"]
    assert "traceback" in job.error


@pytest.mark.parametrize("plain", [True, False], ids=["generator", "async generator"])
async def test_generator_is_no_success(pgq: PgQueuer, plain: bool) -> None:
    """A handler that returns a generator has not run it: that is a failure, and not a success."""

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> Any:
        return generator() if plain else async_generator()

    job = await run_one(pgq)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "generator" in job.error["message"]


async def test_failure_keeps_payload_and_traceback(pgq: PgQueuer, conn: Connection) -> None:
    """A job that used up its attempts keeps its payload, and every attempt its traceback."""

    @pgq.entrypoint("work", max_attempts=3, backoff=0.01)
    async def work(job: Job) -> None:
        raise LookupError(f"attempt {job.attempt}")

    job = await run_one(pgq, payload={"order": 7}, headers={"h": 1})
    assert (job.state, job.attempt) == (JobState.FAILED, 3)
    assert (job.json(), job.headers) == ({"order": 7}, {"h": 1})
    attempts = await pgq.queries.get_attempts(job.id)
    assert [a.outcome for a in attempts] == ["retry", "retry", "failed"]
    assert [a.error["message"] for a in attempts if a.error] == [
        "attempt 1", "attempt 2", "attempt 3",
    ]  # fmt: skip
    assert all(a.error and "in work\n" in a.error["traceback"] for a in attempts)
    assert all(a.started_at and a.started_at <= a.finished_at for a in attempts)
    assert await held(conn) == 0


async def test_retry_default_backs_off(pgq: PgQueuer, conn: Connection) -> None:
    """By default a failure is retried after about two seconds, then ever later."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        raise OSError("not now")

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await in_state(conn, id_, "deferred")
    row = await conn.fetchrow(
        "SELECT d.attempt, d.spent, extract(EPOCH FROM d.run_at - a.finished_at)::float8 AS delay "
        "FROM pgq_deferred AS d JOIN pgq_attempts AS a USING (job_id)"
    )
    assert row is not None
    assert (row["attempt"], row["spent"]) == (1, 1)
    assert 1.4 < row["delay"] < 2.8
    delays = [Backoff(jitter=0).delay(n) for n in (1, 2, 3, 4, 9)]
    assert delays == [2, 8, 32, 128, 3600]


async def test_backoff_function_sees_the_failures(pgq: PgQueuer) -> None:
    """`backoff` may be a function of the number of failures; one that raises does no harm."""
    asked: list[int] = []

    def backoff(failures: int) -> float:
        asked.append(failures)
        return 0.01

    @pgq.entrypoint("work", backoff=backoff, max_attempts=4)
    async def work(job: Job) -> None:
        raise OSError

    await run_one(pgq)
    assert asked == [1, 2, 3]


@pytest.mark.parametrize("delay", [math.inf, 1e18, timedelta.max.total_seconds()])
async def test_backoff_without_an_end(pgq: PgQueuer, conn: Connection, delay: float) -> None:
    """A backoff that overflows what PostgreSQL can hold waits a hundred years."""

    @pgq.entrypoint("work", backoff=lambda _: delay)
    async def work(job: Job) -> None:
        raise OSError

    async with working(pgq):
        id_ = await pgq.enqueue("work")
        await in_state(conn, id_, "deferred")
    years = "SELECT extract(YEAR FROM run_at) - extract(YEAR FROM now()) FROM pgq_deferred"
    assert int(await conn.fetchval(years)) in (101, 102)


@pytest.mark.parametrize("verdict", [Retry, Snooze])
@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, 1e18, timedelta.max])
async def test_delay_that_makes_no_sense(
    pgq: PgQueuer, conn: Connection, verdict: Any, delay: Any
) -> None:
    """Retry or Snooze with such a delay is an error of the handler, recorded as any other."""

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> None:
        raise verdict(delay)

    job = await run_one(pgq)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["type"] == "pgq_core.errors.InvalidInput"
    assert f"{verdict.__name__}({delay!r})" in job.error["message"]


@pytest.mark.parametrize("delay", [math.nan, math.inf, 1e300, -5.0, "soon"])
async def test_backoff_that_gives_nonsense(pgq: PgQueuer, conn: Connection, delay: Any) -> None:
    """A backoff that returns no sensible number still lets the job be retried."""

    @pgq.entrypoint("work", backoff=lambda _: delay, max_attempts=2)
    async def work(job: Job) -> None:
        raise OSError

    async with working(pgq):
        id_ = await pgq.enqueue("work")

        async def judged() -> list[str]:
            return await outcomes(conn, id_)

        assert (await eventually(judged))[0] == "retry"


async def test_no_retry_on_fails_at_once(pgq: PgQueuer, conn: Connection) -> None:
    """An error named in `no_retry_on`, or derived from one, fails the job at once."""

    @pgq.entrypoint("work", no_retry_on=(LookupError, TypeError))
    async def work(job: Job) -> None:
        raise KeyError("no such customer")

    job = await run_one(pgq)
    assert job.state is JobState.FAILED
    assert await outcomes(conn, job.id) == ["failed"]


async def test_retry_on_limits_what_is_retried(pgq: PgQueuer, conn: Connection) -> None:
    """With `retry_on` only these errors are retried; every other one fails at once."""

    @pgq.entrypoint("work", retry_on=OSError, backoff=0.01, max_attempts=5)
    async def work(job: Job) -> None:
        raise ConnectionError("again") if job.attempt == 1 else ValueError("never")

    job = await run_one(pgq)
    assert job.state is JobState.FAILED
    assert await outcomes(conn, job.id) == ["retry", "failed"]


async def test_max_attempts_of_the_job_counts(pgq: PgQueuer, conn: Connection) -> None:
    """A job's own `max_attempts` overrules its entrypoint's."""

    @pgq.entrypoint("work", backoff=0.01, max_attempts=5)
    async def work(job: Job) -> None:
        raise OSError

    job = await run_one(pgq, max_attempts=2)
    assert await outcomes(conn, job.id) == ["retry", "failed"]


async def test_at_most_once_is_never_retried(pgq: PgQueuer, conn: Connection) -> None:
    """`max_attempts=1` means at most once: the first failure is the last."""
    started: list[int] = []

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> None:
        started.append(job.attempt)
        raise Retry(0.0)

    job = await run_one(pgq)
    assert (job.state, started) == (JobState.FAILED, [1])


# -- deciding -----------------------------------------------------------------------------------


async def test_retry_spends_an_attempt(pgq: PgQueuer, conn: Connection) -> None:
    """Raising `Retry(delay)` runs the job again after that delay and spends an attempt."""

    @pgq.entrypoint("work", max_attempts=3, no_retry_on=Exception)
    async def work(job: Job) -> None:
        raise Retry(timedelta(milliseconds=20), "rate limited")

    job = await run_one(pgq)
    attempts = await pgq.queries.get_attempts(job.id)
    assert [a.outcome for a in attempts] == ["retry", "retry", "failed"]
    assert attempts[0].error is not None
    assert attempts[0].error["message"] == "rate limited"
    starts = [a.started_at for a in attempts]
    ends = [a.finished_at for a in attempts]
    for end, start in zip(ends, starts[1:], strict=False):
        assert start is not None
        assert start - end >= timedelta(milliseconds=15)


async def test_snooze_spends_nothing(pgq: PgQueuer, conn: Connection) -> None:
    """Raising `Snooze(delay)` runs the job later and spends no attempt, however often."""

    @pgq.entrypoint("work", max_attempts=1)
    async def work(job: Job) -> int:
        if job.attempt < 4:
            raise Snooze(0.01)
        return job.attempt

    job = await run_one(pgq)
    assert (job.state, job.result) == (JobState.SUCCEEDED, 4)
    assert await outcomes(conn, job.id) == ["snooze", "snooze", "snooze", "succeeded"]


async def test_snooze_between_failures_keeps_the_count(pgq: PgQueuer, conn: Connection) -> None:
    """A snooze between two failures neither spends nor refunds an attempt."""

    @pgq.entrypoint("work", max_attempts=2, backoff=0.01)
    async def work(job: Job) -> None:
        if job.attempt == 2:
            raise Snooze(0)
        raise OSError

    job = await run_one(pgq)
    assert await outcomes(conn, job.id) == ["retry", "snooze", "failed"]


async def test_cancel_ends_the_job(pgq: PgQueuer, conn: Connection) -> None:
    """Raising `Cancel(reason)` ends the job as cancelled, with the reason, and frees its key."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        raise Cancel("no longer wanted")

    job = await run_one(pgq, unique_key="k")
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert job.error["message"] == "no longer wanted"
    assert await conn.fetchval("SELECT count(*) FROM pgq_locks") == 0


async def test_retry_wakes_at_its_time(pgq: PgQueuer) -> None:
    """A retry starts when its delay is over, not at some later poll."""

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.attempt == 1:
            raise Retry(0.6)

    job = await run_one(pgq)
    first, second = await pgq.queries.get_attempts(job.id)
    assert second.started_at is not None
    waited = (second.started_at - first.finished_at).total_seconds()
    assert 0.59 < waited < 1.5


# -- timeouts -----------------------------------------------------------------------------------


async def test_timeout_of_the_entrypoint(pgq: PgQueuer, conn: Connection) -> None:
    """A handler that runs longer than its entrypoint's `timeout` is stopped and retried."""
    stopped: list[int] = []

    @pgq.entrypoint("work", timeout=0.05, backoff=0.01, max_attempts=2)
    async def work(job: Job) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append(job.attempt)
            raise

    job = await run_one(pgq)
    assert stopped == [1, 2]
    assert await outcomes(conn, job.id) == ["retry", "failed"]
    assert job.error is not None
    assert "longer than its timeout of 0.05 s" in job.error["message"]


async def test_timeout_of_the_job_overrules(pgq: PgQueuer, conn: Connection) -> None:
    """A job's own `timeout` overrules its entrypoint's, in both directions."""

    @pgq.entrypoint("work", timeout=0.1, max_attempts=1)
    async def work(job: Job) -> str:
        await asyncio.sleep(0.3)
        return "slept"

    async with working(pgq):
        short = await pgq.enqueue("work")
        long = await pgq.enqueue("work", timeout=10)
        assert await finished(conn, short, long) == ["failed", "succeeded"]


async def test_timeout_counts_for_retry_on(pgq: PgQueuer, conn: Connection) -> None:
    """A timeout is retried even when `retry_on` names other errors only."""

    @pgq.entrypoint("work", timeout=0.05, retry_on=KeyError, backoff=0.01, max_attempts=2)
    async def work(job: Job) -> None:
        await asyncio.sleep(30)

    job = await run_one(pgq)
    assert await outcomes(conn, job.id) == ["retry", "failed"]


async def test_handler_may_survive_its_timeout(pgq: PgQueuer) -> None:
    """A handler that catches its cancellation and finishes in its own way has succeeded."""

    @pgq.entrypoint("work", timeout=0.05)
    async def work(job: Job) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "saved half"

    assert (await run_one(pgq)).result == "saved half"


async def test_plain_function_learns_of_its_timeout(pgq: PgQueuer, conn: Connection) -> None:
    """A plain function sees its timeout as `context.cancelled`; returning then is a timeout."""

    @pgq.entrypoint("work", timeout=0.05, max_attempts=1)
    def work(job: Job, context: Context) -> None:
        while not context.cancelled:
            threading.Event().wait(0.005)

    job = await run_one(pgq)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "timeout" in job.error["message"]


# -- hooks and logging --------------------------------------------------------------------------


class Recorder:
    """A hook that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def enqueueing(self, job: NewJob) -> NewJob:
        self.events.append(("enqueueing", job.entrypoint))
        return job

    @contextlib.contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        self.events.append(("begin", job.id, job.attempt))
        yield
        self.events.append(("end", job.id, job.attempt))

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        self.events.append(("finished", job.id, job.attempt, outcome.kind, seconds >= 0))


async def test_hooks_see_every_step(pgq: PgQueuer) -> None:
    """Hooks are called around enqueue and around every attempt, with the outcome and the time."""
    recorder = Recorder()
    pgq.hooks.append(recorder)

    @pgq.entrypoint("work", backoff=0.01)
    async def work(job: Job) -> None:
        recorder.events.append(("handler", job.id, job.attempt))
        if job.attempt == 1:
            raise OSError

    job = await run_one(pgq)
    assert recorder.events == [
        ("enqueueing", "work"),
        ("begin", job.id, 1), ("handler", job.id, 1), ("end", job.id, 1),
        ("finished", job.id, 1, "retry", True),
        ("begin", job.id, 2), ("handler", job.id, 2), ("end", job.id, 2),
        ("finished", job.id, 2, "succeeded", True),
    ]  # fmt: skip


async def test_hooks_see_the_end_of_a_lost_attempt(pgq: PgQueuer, conn: Connection) -> None:
    """An attempt that lost its lease ends for hooks as `lost`, once; the next one is another."""
    recorder = Recorder()
    pgq.hooks.append(recorder)

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.attempt == 1:
            await asyncio.Event().wait()

    async with working(pgq) as worker:
        id_ = await pgq.enqueue("work")
        await in_state(conn, id_, "running")
        await conn.execute("DELETE FROM pgq_workers")
        await conn.execute("SELECT pgq_rescue(ARRAY(SELECT worker_id FROM pgq_leases))")
        worker.distrust()
        assert await finished(conn, id_) == ["succeeded"]
    ends = [event for event in recorder.events if event[0] == "finished"]
    assert sorted(ends) == [
        ("finished", id_, 1, "lost", True), ("finished", id_, 2, "succeeded", True),
    ]  # fmt: skip


class Broken(Recorder):
    """A hook that raises where told."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    @contextlib.contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        if self.where == "begin":
            raise ZeroDivisionError
        yield
        if self.where == "end":
            raise ZeroDivisionError

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        if self.where == "finished":
            raise ZeroDivisionError


@pytest.mark.parametrize("where", ["begin", "end", "finished"])
async def test_broken_hook_harms_no_job(
    pgq: PgQueuer, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that raises is logged; the job runs once, succeeds, and the worker stops in order."""
    pgq.hooks.append(Broken(where))
    runs: list[int] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> str:
        runs.append(job.attempt)
        return "done"

    job = await run_one(pgq)
    assert (job.state, job.result, runs) == (JobState.SUCCEEDED, "done", [1])
    assert "ZeroDivisionError" in caplog.text


async def test_log_names_the_job(pgq: PgQueuer, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is logged with job id, entrypoint and attempt; the last one is an error."""
    caplog.set_level(logging.INFO, "pgq_core")

    @pgq.entrypoint("work", backoff=0.01, max_attempts=2)
    async def work(job: Job) -> None:
        raise OSError("disk on fire")

    job = await run_one(pgq)
    records = [(record.levelno, record.getMessage()) for record in caplog.records]
    told = [(level, message) for level, message in records if f"job {job.id} " in message]
    assert [level for level, _ in told] == [logging.INFO, logging.ERROR]
    for n, (_, message) in enumerate(told, 1):
        assert f"job {job.id} (work), attempt {n}" in message
        assert "OSError" in message
