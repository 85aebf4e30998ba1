"""Looking: one row per job with its state, wherever it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgq_core.errors import JobNotFound
from tests.sql import verbs


async def in_every_state(on: Any) -> dict[str, int]:
    """One job in each state."""
    await verbs.enqueue(on, count=4)
    taken = (await verbs.claim(on)).jobs
    for job, outcome in zip(taken, ("succeeded", "failed", "cancelled"), strict=False):
        await verbs.finish(on, job, outcome, shut=False)
    (deferred,) = await verbs.enqueue(on, run_at=timedelta(hours=1))
    (blocked, ready) = await verbs.enqueue(on, count=2)
    await on.execute(
        """
        WITH gone AS (DELETE FROM pgq_ready WHERE job_id = $1 RETURNING *)
        INSERT INTO pgq_blocked (job_id, lane_id, position, entrypoint, scope)
        SELECT job_id, lane_id, position, 'work', 'key:k' FROM gone
        """,
        blocked,
    )
    return {
        "succeeded": taken[0].job_id,
        "failed": taken[1].job_id,
        "cancelled": taken[2].job_id,
        "running": taken[3].job_id,
        "deferred": deferred,
        "blocked": blocked,
        "ready": ready,
    }


async def test_every_state(conn: Any) -> None:
    """Every job stands in the view exactly once, with the state it is in."""
    jobs = await in_every_state(conn)
    assert await verbs.states(conn) == {job: state for state, job in jobs.items()}


async def test_states_after_a_retry(conn: Any) -> None:
    """A job's newest place counts, not its history: put back, claimed again, it is running."""
    jobs = await in_every_state(conn)
    failed = jobs["failed"]
    await verbs.retry(conn, failed)
    assert await verbs.state(conn, failed) == "ready"
    claimed = await verbs.claim(conn)
    assert failed in claimed.ids
    assert await verbs.state(conn, failed) == "running"
    job = await verbs.queries(conn).get_job(failed)
    assert job.attempt == 2


async def test_a_retry_under_the_same_open_lease(conn: Any) -> None:
    """A job that goes back while its batch still runs is waiting, not running."""
    await verbs.enqueue(conn, count=2)
    first, _ = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, first, "retry", delay=60.0, shut=False)
    assert await verbs.state(conn, first.job_id) == "deferred"


@pytest.mark.parametrize(
    "state", ["ready", "deferred", "blocked", "running", "succeeded", "failed"]
)
async def test_a_filter_by_state(conn: Any, state: str) -> None:
    """Jobs can be listed by state."""
    jobs = await in_every_state(conn)
    found = await verbs.queries(conn).get_jobs(states=[state])
    assert [job.id for job in found] == [jobs[state]]


async def test_filters(conn: Any) -> None:
    """Jobs can be listed by queue, entrypoint, key and time of creation."""
    queries = verbs.queries(conn)
    mail, bill = await queries.enqueue(["mail", "bill"], queues=["a", "b"], unique_keys="key")
    created = (await queries.get_job(bill)).created_at
    assert [job.id for job in await queries.get_jobs(queue="a")] == [mail]
    assert [job.id for job in await queries.get_jobs(entrypoint="bill")] == [bill]
    assert {job.id for job in await queries.get_jobs(unique_key="key")} == {mail, bill}
    assert bill in {job.id for job in await queries.get_jobs(created_after=created)}
    assert bill not in {job.id for job in await queries.get_jobs(created_before=created)}
    assert await queries.get_jobs(queue="a", entrypoint="bill") == []


async def test_pages(conn: Any) -> None:
    """Pages follow each other by id: no job is shown twice, though new ones come in."""
    ids = await verbs.enqueue(conn, count=10)
    queries = verbs.queries(conn)
    seen: list[int] = []
    before = None
    while page := await queries.get_jobs(before=before, limit=3):
        seen += [job.id for job in page]
        before = seen[-1]
        await verbs.enqueue(conn)
    assert seen == ids[::-1]


async def test_an_unknown_job(conn: Any) -> None:
    """Asking for a job nobody knows raises JobNotFound, which names it."""
    with pytest.raises(JobNotFound, match="4711"):
        await verbs.queries(conn).get_job(4711)


async def test_counts(conn: Any) -> None:
    """The counts say how many jobs of each entrypoint stand where."""
    await in_every_state(conn)
    await verbs.enqueue(conn, "other", count=3)
    counts = await verbs.queries(conn).counts()
    states = ("ready", "deferred", "blocked", "running", "succeeded", "failed", "cancelled")
    assert counts == {"work": dict.fromkeys(states, 1), "other": {"ready": 3}}


async def test_health(conn: Any) -> None:
    """Health counts live and dead workers, the oldest ready job's age and the hour's failures."""
    assert (await verbs.queries(conn).health())["oldest_ready"] is None
    alive, dead = await verbs.register(conn), await verbs.register(conn)
    await verbs.silence(conn, dead)
    await verbs.worked(conn, "failed")
    (job,) = await verbs.enqueue(conn)
    await conn.execute(
        "UPDATE pgq_jobs SET created_at = created_at - interval '1 hour' WHERE id = $1", job
    )
    health = await verbs.queries(conn).health()
    assert (health["workers"], health["dead_workers"]) == (1, 1)
    assert health["failed_last_hour"] == 1
    assert 3600 <= health["oldest_ready"] < 7200
    assert alive != dead


async def test_a_job_put_back_is_not_old(conn: Any) -> None:
    """A job that failed yesterday and is retried now has not waited since yesterday: what waits
    behind it tells how long."""
    job, fresh = await verbs.worked(conn, "failed"), verbs.queries(conn)
    await conn.execute("UPDATE pgq_jobs SET created_at = created_at - interval '1 day'")
    await fresh.retry([job])
    assert (await fresh.health())["oldest_ready"] is None
    assert [(row["depth"], row["age"]) for row in await fresh.call("lane_depths")] == [(1, None)]
    await verbs.enqueue(conn)
    assert (await fresh.health())["oldest_ready"] < 3600
    assert (await fresh.call("lane_depths"))[0]["age"] < 3600


async def test_history(conn: Any) -> None:
    """Every attempt of a job can be read: number, outcome, worker, times, error, result."""
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn, worker=3)).jobs
    await verbs.finish(conn, taken, "retry", error='{"type": "E"}')
    (taken,) = (await verbs.claim(conn, worker=4)).jobs
    await verbs.finish(conn, taken, result="[1]")
    first, second = await verbs.queries(conn).get_attempts(job)
    assert (first.attempt, first.outcome, first.worker_id) == (1, "retry", 3)
    assert (first.error, first.result) == ({"type": "E"}, None)
    assert (second.attempt, second.outcome, second.worker_id) == (2, "succeeded", 4)
    assert (second.error, second.result) == (None, [1])


async def test_progress(conn: Any) -> None:
    """A job's newest word about itself can be read, exactly as it was said."""
    (job,) = await verbs.enqueue(conn)
    queries = verbs.queries(conn)
    assert await queries.get_progress(job) is None
    for fraction, message in ((0.1, "started"), (2 / 3, "nearly")):
        await verbs.call(conn, "progress", id=job, attempt=1, fraction=fraction, message=message)
        assert await queries.get_progress(job) == (fraction, message)
