"""Cancel: at once where a job waits, by wish where it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO, cancel

Connect = Callable[..., Awaitable[Any]]
DISTINCT = "SELECT DISTINCT u.id FROM unnest($1::bigint []) AS u (id)"


@pytest.mark.parametrize("when", [None, timedelta(hours=1)], ids=["ready", "deferred"])
async def test_a_waiting_job_is_cancelled(conn: Any, when: timedelta | None) -> None:
    """A job that has not started is cancelled at once; its key is free, its history says why."""
    (job,) = await verbs.enqueue(conn, run_at=when, unique_keys="key")
    assert await cancel(conn, job, reason="no longer wanted") == {job: "cancelled"}
    found = await verbs.queries(conn).get_job(job)
    assert (found.state.value, found.error) == (
        "cancelled", {"type": "Cancelled", "message": "no longer wanted"},
    )  # fmt: skip
    assert await verbs.held_keys(conn) == {}
    assert (await verbs.claim(conn)).jobs == []


async def test_a_blocked_job_is_cancelled(conn: Any) -> None:
    """A job that waits for another one is cancelled at once too."""
    (job,) = await verbs.enqueue(conn)
    columns = "job_id, lane_id, position, attempt, spent, crashes, entrypoint, scope"
    await conn.execute(
        f"""
        WITH gone AS (DELETE FROM pgq_ready RETURNING *)
        INSERT INTO pgq_blocked ({columns})
        SELECT job_id, lane_id, position, attempt, spent, crashes, 'work', 'key:k' FROM gone
        """
    )
    assert await verbs.state(conn, job) == "blocked"
    assert await cancel(conn, job) == {job: "cancelled"}
    assert await verbs.state(conn, job) == "cancelled"


async def test_a_running_job_is_asked(conn: Any) -> None:
    """For a running job the wish is noted, and every worker is told on the common channel."""
    heard: list[str] = []
    channel = await conn.fetchval("SELECT pgq_channel(0)")
    await conn.add_listener(channel, lambda _c, _pid, _channel, payload: heard.append(payload))
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    assert await cancel(conn, job, reason="stop") == {job: "requested"}
    assert (await verbs.look(conn))["cancels"] == {str(job): "stop"}
    assert await verbs.state(conn, job) == "running"
    await conn.remove_listener(channel, lambda *_: None)
    assert heard == ["cancel"]
    await verbs.finish(conn, taken, "cancelled")
    assert await verbs.state(conn, job) == "cancelled"


async def test_asked_twice(conn: Any) -> None:
    """Asking again for a running job is the same wish with the newer reason."""
    (job,) = await verbs.enqueue(conn)
    await verbs.claim(conn)
    await cancel(conn, job, reason="one")
    assert await cancel(conn, job, reason="two") == {job: "requested"}
    assert (await verbs.look(conn))["cancels"] == {str(job): "two"}


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_too_late(conn: Any, outcome: str) -> None:
    """A finished job stays as it is."""
    job = await verbs.worked(conn, outcome)
    assert await cancel(conn, job) == {job: "finished"}
    assert await verbs.state(conn, job) == outcome
    assert await verbs.count(conn, "pgq_cancels") == 0


async def test_unknown(conn: Any) -> None:
    """Ids nobody knows are reported as unknown."""
    assert await cancel(conn, 4711) == {4711: "unknown"}
    assert await cancel(conn) == {}


async def test_many_kinds_in_one_call(conn: Any) -> None:
    """One call cancels jobs in any state and says of each what happened."""
    done = await verbs.worked(conn)
    (running,) = await verbs.enqueue(conn)
    await verbs.claim(conn)
    ready, later = await verbs.enqueue(conn, count=2, run_at=[None, timedelta(hours=1)])
    assert await cancel(conn, later, 99, done, ready, running, ready) == {
        later: "cancelled", 99: "unknown", done: "finished", ready: "cancelled",
        running: "requested",
    }  # fmt: skip


async def test_ten_thousand(conn: Any) -> None:
    """10,000 jobs, some of them running, are cancelled in one call."""
    ids = await verbs.enqueue(conn, count=10_000)
    running = set((await verbs.claim(conn, 500)).ids)
    found = await cancel(conn, *ids)
    assert {job for job, verdict in found.items() if verdict == "requested"} == running
    assert {job for job, verdict in found.items() if verdict == "cancelled"} == set(ids) - running
    assert await verbs.count(conn, "pgq_ready") == 0


async def test_attempts_of_a_cancelled_job_count_on(conn: Any) -> None:
    """The cancellation of a job between two attempts is an entry of its own in the history."""
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, taken, "retry", delay=60.0)
    assert await cancel(conn, job) == {job: "cancelled"}
    assert await verbs.outcomes(conn, job) == [(1, "retry"), (2, "cancelled")]


# -- interleavings ----------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "verdict"), [(KEEP, "requested"), (UNDO, "cancelled")])
async def test_a_claim_in_flight(conn: Any, connect: Connect, end: str, verdict: str) -> None:
    """Cancel waits for a claim in flight: the job is then asked to stop, or cancelled at once."""
    other, observer = await connect(), await connect()
    (job,) = await verbs.enqueue(conn)
    async with verbs.held(conn, end=end):
        await verbs.claim(conn)
        async with verbs.waiting(observer, other, cancel(other, job)) as cancelling:
            await conn.execute(end)
    assert await cancelling == {job: verdict}
    assert await verbs.state(conn, job) == ("running" if end == KEEP else "cancelled")


@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_a_cancel_in_flight(conn: Any, connect: Connect, end: str) -> None:
    """A claim passes over a job that is being cancelled, without waiting."""
    other = await connect()
    await verbs.impatient(other)
    job, neighbour = await verbs.enqueue(conn, count=2)
    async with verbs.held(conn, end=end):
        await cancel(conn, job)
        assert (await verbs.claim(other)).ids == [neighbour]
    assert (await verbs.claim(other)).ids == ([] if end == KEEP else [job])


@pytest.mark.parametrize(("end", "verdict"), [(KEEP, "requested"), (UNDO, "cancelled")])
async def test_a_promotion_in_flight(conn: Any, connect: Connect, end: str, verdict: str) -> None:
    """A job that is just being promoted does not slip away: it is cancelled or asked to stop."""
    other, observer = await connect(), await connect()
    (job,) = await verbs.enqueue(conn, run_at=timedelta(hours=1))
    await conn.execute("UPDATE pgq_deferred SET run_at = now() - interval '1 s'")
    async with verbs.held(conn, end=end):
        assert (await verbs.look(conn))["promoted"] == 1
        async with verbs.waiting(observer, other, cancel(other, job)) as cancelling:
            await conn.execute(end)
    assert (await cancelling)[job] in (verdict, "cancelled")
    if await verbs.state(conn, job) != "cancelled":
        (taken,) = (await verbs.claim(conn)).jobs
        assert str(job) in (await verbs.look(conn))["cancels"]
        await verbs.finish(conn, taken, "interrupted")
    assert await verbs.state(conn, job) == "cancelled"


async def test_two_cancels_do_not_deadlock(conn: Any, connect: Connect) -> None:
    """Two calls that cancel the same jobs lock them in the same order, however they find them."""
    few, many, observer = await connect(), await connect(), await connect()
    ids = await verbs.enqueue(conn, count=10_000)
    await conn.execute(
        """
        CREATE TEMP TABLE kept AS SELECT * FROM pgq_ready;
        TRUNCATE pgq_ready;
        INSERT INTO pgq_ready SELECT * FROM kept ORDER BY job_id DESC;
        ANALYZE pgq_ready;
        """
    )
    # Three ids that a hash gives back in rising order, while the table holds them in falling order.
    orders = [
        [row[0] for row in await conn.fetch(DISTINCT, ids[first : first + 3])]
        for first in range(0, 300, 3)
    ]
    three = next(order for order in orders if order == sorted(order))
    async with verbs.held(conn, end=UNDO):
        await conn.execute("SELECT FROM pgq_ready WHERE job_id = $1 FOR UPDATE", three[1])
        async with (
            verbs.waiting(observer, few, cancel(few, *three)) as one,
            verbs.waiting(observer, many, cancel(many, *ids)) as other,
        ):
            await conn.execute(UNDO)
            verdicts = await one, await other
    for job in ids:
        assert "cancelled" in {found.get(job) for found in verdicts}
    assert await verbs.count(conn, "pgq_attempts") == 10_000


async def test_a_wish_for_nobody_is_swept(conn: Any) -> None:
    """A wish that no running job can hear any more is swept up after a minute, others stay."""
    await verbs.enqueue(conn, count=2)
    first, second = (await verbs.claim(conn)).jobs
    await cancel(conn, first.job_id, second.job_id)
    await verbs.call(conn, "tidy")
    assert await verbs.count(conn, "pgq_cancels") == 2
    await verbs.rescue(conn, 1)
    await conn.execute("DELETE FROM pgq_ready WHERE job_id = $1", first.job_id)
    await conn.execute("UPDATE pgq_cancels SET requested_at = now() - interval '2 minutes'")
    await verbs.call(conn, "tidy")
    assert await verbs.count(conn, "pgq_cancels") == 0
