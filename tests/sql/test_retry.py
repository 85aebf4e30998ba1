"""Retry by hand: finished jobs run again, once, under the same id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO, retry

Connect = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_a_finished_job_runs_again(conn: Any, outcome: str) -> None:
    """A finished job can be run again, however it ended: same id, next attempt number."""
    job = await verbs.worked(conn, outcome)
    assert await retry(conn, job) == {job: "retried"}
    assert await verbs.state(conn, job) == "ready"
    (taken,) = (await verbs.claim(conn)).jobs
    assert (taken.job_id, taken.attempt) == (job, 2)
    await verbs.finish(conn, taken)
    assert await verbs.outcomes(conn, job) == [(1, outcome), (2, "succeeded")]


async def test_a_job_cancelled_before_its_start_runs_again(conn: Any) -> None:
    """A job that was cancelled while it waited can be run again."""
    (job,) = await verbs.enqueue(conn, run_at=timedelta(hours=1))
    await verbs.cancel(conn, job)
    assert await retry(conn, job) == {job: "retried"}
    assert (await verbs.claim(conn)).jobs[0].attempt == 2


async def test_attempt_numbers_never_repeat(conn: Any) -> None:
    """Every attempt of a job put back has a new number; what was spent is forgotten."""
    (job,) = await verbs.enqueue(conn)
    for number in range(1, 5):
        (taken,) = (await verbs.claim(conn)).jobs
        assert (taken.attempt, taken.spent, taken.crashes) == (number, 0, 0)
        await verbs.finish(conn, taken, "failed", spent=1)
        assert await retry(conn, job) == {job: "retried"}


async def test_a_job_that_is_not_finished_is_left(conn: Any) -> None:
    """Jobs that wait or run are left alone, and nobody's id is unknown."""
    (running,) = await verbs.enqueue(conn)
    await verbs.claim(conn)
    ready, later = await verbs.enqueue(conn, count=2, run_at=[None, timedelta(hours=1)])
    before = await verbs.states(conn)
    assert await retry(conn, running, ready, later, 4711) == {
        running: "running", ready: "running", later: "running", 4711: "unknown",
    }  # fmt: skip
    assert await verbs.states(conn) == before


async def test_the_key_is_taken_again(conn: Any) -> None:
    """A job put back takes its unique key again."""
    job = await verbs.worked(conn, "failed", unique_keys="key")
    await retry(conn, job)
    assert await verbs.held_keys(conn) == {"key": job}
    assert await verbs.enqueue(conn, unique_keys="key") == [job]


async def test_the_key_is_held_by_another(conn: Any) -> None:
    """A job whose unique key another job holds by now is not put back."""
    job = await verbs.worked(conn, "failed", unique_keys="key")
    (other,) = await verbs.enqueue(conn, unique_keys="key")
    assert await retry(conn, job) == {job: "held"}
    assert await verbs.states(conn) == {job: "failed", other: "ready"}


async def test_two_jobs_of_one_key(conn: Any) -> None:
    """Of two finished jobs with the same key only one is put back."""
    first = await verbs.worked(conn, "failed", unique_keys="key")
    second = await verbs.worked(conn, "failed", unique_keys="key")
    assert sorted((await retry(conn, first, second)).values()) == ["held", "retried"]
    assert await verbs.count(conn, "pgq_ready") == 1


async def test_an_old_wish_is_forgotten(conn: Any) -> None:
    """A wish to cancel that came too late does not stop the job when it runs again."""
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    await verbs.cancel(conn, job)
    await verbs.rescue(conn, 1)
    assert await verbs.finish(conn, taken) == {job: "gone"}
    assert await retry(conn, job) == {job: "retried"}
    assert (await verbs.look(conn))["cancels"] is None


async def test_many_at_once(conn: Any) -> None:
    """Thousands of failed jobs are put back in one call."""
    ids = await verbs.enqueue(conn, count=2000)
    await verbs.finish(conn, (await verbs.claim(conn, 2000)).jobs, "failed")
    assert set((await retry(conn, *ids)).values()) == {"retried"}
    assert await verbs.count(conn, "pgq_ready") == 2000


# -- interleavings ----------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "verdict"), [(KEEP, "running"), (UNDO, "retried")])
async def test_two_sessions_put_it_back_once(
    conn: Any, connect: Connect, end: str, verdict: str
) -> None:
    """Two people who retry the same job at the same time make it run once."""
    other, observer = await connect(), await connect()
    job = await verbs.worked(conn, "failed")
    async with verbs.held(conn, end=end):
        assert await retry(conn, job) == {job: "retried"}
        async with verbs.waiting(observer, other, retry(other, job)) as second:
            await conn.execute(end)
    assert await second == {job: verdict}
    assert await verbs.count(conn, "pgq_ready") == 1


async def test_two_sessions_in_opposite_order(conn: Any, connect: Connect) -> None:
    """Two people who retry the same jobs in opposite order do not deadlock."""
    other, observer = await connect(), await connect()
    ids = [await verbs.worked(conn, "failed", unique_keys=key) for key in ("a", "b", "c")]
    async with verbs.held(conn):
        await retry(conn, ids[0])
        async with verbs.waiting(observer, other, retry(other, *reversed(ids))) as second:
            assert await retry(conn, ids[2]) == {ids[2]: "retried"}
            await conn.execute(KEEP)
    assert await second == {ids[0]: "running", ids[1]: "retried", ids[2]: "running"}
    assert await verbs.count(conn, "pgq_ready") == 3


@pytest.mark.parametrize(("end", "verdict"), [(KEEP, "held"), (UNDO, "retried")])
async def test_against_an_enqueue_of_its_key(
    conn: Any, connect: Connect, end: str, verdict: str
) -> None:
    """A retry waits for the transaction that enqueues its key: one of the two has it."""
    other, observer = await connect(), await connect()
    job = await verbs.worked(conn, "failed", unique_keys="key")
    async with verbs.held(conn, end=end):
        await verbs.enqueue(conn, unique_keys="key")
        async with verbs.waiting(observer, other, retry(other, job)) as second:
            await conn.execute(end)
    assert await second == {job: verdict}
    assert len(await verbs.held_keys(conn)) == 1
    assert await verbs.count(conn, "pgq_ready") == 1


async def test_positions_are_drawn_under_an_xid(conn: Any, connect: Connect) -> None:
    """A retry has its transaction's id before it draws a position, so that floors wait for it."""
    other = await connect()
    job = await verbs.worked(conn, "failed")
    async with verbs.held(conn):
        await retry(conn, job)
        (fresh,) = await verbs.enqueue(other)
        claimed = await verbs.claim(other)
        assert claimed.ids == [fresh]
        xid = await conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
        assert xid < claimed.status["xid"]
    assert (await verbs.claim(other)).ids == [job]
