"""Prune: old finished jobs go, in small steps, and nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sql import verbs
from tests.sql.verbs import KEEP, NO_TIME, UNDO

Connect = Callable[..., Awaitable[Any]]
DAY = timedelta(days=1)


async def prune(on: Any, from_id: int = 0, limit: int = 1000, **ages: timedelta) -> Any:
    """One step; every age that is not given is zero."""
    values = verbs.ANY_AGE | ages
    return (await verbs.call(on, "prune", from_id=from_id, limit=limit, **values))[0]


async def aged(on: Any, job: int, age: timedelta) -> int:
    """Let a job's history lie that far back."""
    await on.execute(
        "UPDATE pgq_attempts SET finished_at = finished_at - $2::interval WHERE job_id = $1",
        job,
        age,
    )
    return job


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_by_outcome_and_age(conn: Any, outcome: str) -> None:
    """Every outcome has an age of its own from which its jobs are deleted."""
    old = await aged(conn, await verbs.worked(conn, outcome), 2 * DAY)
    young = await verbs.worked(conn, outcome)
    others = [
        await aged(conn, await verbs.worked(conn, other), 2 * DAY)
        for other in ("succeeded", "failed", "cancelled")
        if other != outcome
    ]
    ages: dict[str, Any] = dict.fromkeys(verbs.ANY_AGE, 9 * DAY) | {outcome: DAY}
    assert (await prune(conn, **ages))["pruned"] == 1
    assert set(await verbs.states(conn)) == {young, *others}
    assert old not in {row["job_id"] for row in await conn.fetch("SELECT job_id FROM pgq_attempts")}


async def test_the_defaults_keep_a_week_and_a_month(conn: Any) -> None:
    """By default successes stay a week and failures a month."""
    jobs = [
        await aged(conn, await verbs.worked(conn, outcome), age * DAY)
        for outcome, age in (("succeeded", 6), ("succeeded", 8), ("failed", 29), ("failed", 31))
    ]
    assert await verbs.queries(conn).prune() == 2
    assert set(await verbs.states(conn)) == {jobs[0], jobs[2]}


async def test_whatever_the_id(conn: Any) -> None:
    """A finished job that was inserted with an id of its own, zero or less, is deleted, too."""
    for id_ in (0, -7):
        await conn.execute("INSERT INTO pgq_jobs (id, entrypoint) VALUES ($1, 'work')", id_)
        (taken,) = (await verbs.claim(conn)).jobs
        await verbs.finish(conn, taken, "succeeded")
    assert await verbs.queries(conn).prune(succeeded=0) == 2


async def test_nothing_is_left_behind(conn: Any) -> None:
    """With a job go its attempts, of every number, and its progress."""
    (job,) = await verbs.enqueue(conn, unique_keys="key")
    for outcome in ("retry", "snooze", "succeeded"):
        (taken,) = (await verbs.claim(conn)).jobs
        await verbs.finish(conn, taken, outcome)
    await verbs.call(conn, "progress", id=job, attempt=3, fraction=1.0, message="done")
    assert (await prune(conn))["pruned"] == 1
    for table in ("jobs", "attempts", "progress", "locks", "ready", "leases"):
        assert await verbs.count(conn, f"pgq_{table}") == 0, table


async def test_an_unfinished_job_is_never_pruned(conn: Any) -> None:
    """Jobs that wait, run or will run again stay, however old their history is."""
    await verbs.enqueue(conn, count=5)
    running, retried, snoozed, again, lost = (await verbs.claim(conn)).ids
    jobs = {taken.job_id: taken for taken in (await claims(conn))}
    await verbs.finish(conn, jobs[retried], "retry", shut=False)
    await verbs.finish(conn, jobs[snoozed], "snooze", delay=60, shut=False)
    await verbs.finish(conn, jobs[again], "failed", shut=False)
    await verbs.retry(conn, again)
    await verbs.enqueue(conn, "fresh")
    await verbs.enqueue(conn, "later", run_at=DAY)
    for job in (running, retried, snoozed, again, lost):
        await aged(conn, job, 100 * DAY)
    assert (await prune(conn))["pruned"] == 0
    await verbs.rescue(conn, 1)
    for job in (running, lost):
        await aged(conn, job, 100 * DAY)
    assert (await prune(conn))["pruned"] == 0
    assert await verbs.count(conn, "pgq_jobs") == 7


async def claims(on: Any) -> list[verbs.Taken]:
    """What worker 1 holds, read back from its lease."""
    (lease,) = await verbs.call(on, "own_leases", worker=1, lowest=0)
    lane = await verbs.lane(on)
    return [
        verbs.Taken(
            job, attempt, lane, 0, lease["lease_id"], lease["token"], 1, 0, 0, 5, "work", None
        )
        for job, attempt in zip(lease["job_ids"], lease["attempts"], strict=True)
    ]


async def test_a_job_in_an_open_lease_stays_for_now(conn: Any) -> None:
    """A finished job whose batch is still running stays until the lease is gone."""
    await verbs.enqueue(conn, count=2)
    done, running = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, done, shut=False)
    assert (await prune(conn))["pruned"] == 0
    await verbs.finish(conn, running)
    assert (await prune(conn))["pruned"] == 2


async def test_step_by_step(conn: Any) -> None:
    """One step looks at so many bodies, says how far it came, and ends with None."""
    ids = await verbs.enqueue(conn, count=10)
    await verbs.finish(conn, (await verbs.claim(conn)).jobs)
    position, steps = 0, []
    while (row := await prune(conn, position, 4))["last_id"] is not None:
        steps.append((row["last_id"], row["pruned"]))
        position = row["last_id"]
    assert steps == [(ids[3], 4), (ids[7], 4), (ids[9], 2)]


async def test_the_public_verb_goes_to_the_end(conn: Any) -> None:
    """`Queries.prune` goes through all jobs in small transactions and says how many went."""
    await verbs.enqueue(conn, count=25)
    await verbs.finish(conn, (await verbs.claim(conn, 20)).jobs)
    gone = await verbs.queries(conn).prune(
        succeeded=NO_TIME, failed=NO_TIME, cancelled=NO_TIME, batch=7
    )
    assert gone == 20
    assert await verbs.count(conn, "pgq_jobs") == 5


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"succeeded": -DAY}, {"failed": -DAY}, {"cancelled": -DAY}]
)
async def test_wrong_ages_are_refused(conn: Any, wrong: dict[str, Any]) -> None:
    """Negative ages and empty batches are refused before anything is deleted."""
    await verbs.worked(conn)
    with pytest.raises(ValueError, match="prune"):
        await verbs.queries(conn).prune(**wrong)
    assert await verbs.count(conn, "pgq_jobs") == 1


# -- against retry ----------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "left"), [(KEEP, 1), (UNDO, 0)])
async def test_a_retry_in_flight(conn: Any, connect: Connect, end: str, left: int) -> None:
    """Prune passes over a job that is just being put back, without waiting."""
    other = await connect()
    await verbs.impatient(other)
    job = await verbs.worked(conn, "failed")
    async with verbs.held(conn, end=end):
        await verbs.retry(conn, job)
        assert (await prune(other))["pruned"] == 0
    assert (await prune(other))["pruned"] == 1 - left
    assert await verbs.count(conn, "pgq_jobs") == await verbs.count(conn, "pgq_ready") == left


@pytest.mark.parametrize(("end", "verdict"), [(KEEP, "unknown"), (UNDO, "retried")])
async def test_a_prune_in_flight(conn: Any, connect: Connect, end: str, verdict: str) -> None:
    """A retry waits for the prune that is deleting its job: it is unknown, or runs again."""
    other, observer = await connect(), await connect()
    job = await verbs.worked(conn, "failed")
    async with verbs.held(conn, end=end):
        assert (await prune(conn))["pruned"] == 1
        async with verbs.waiting(observer, other, verbs.retry(other, job)) as retrying:
            await conn.execute(end)
    assert await retrying == {job: verdict}
    left = int(end == UNDO)
    assert await verbs.count(conn, "pgq_jobs") == await verbs.count(conn, "pgq_ready") == left


HOLD = """
CREATE ROLE {role};
GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
CREATE FUNCTION hold() RETURNS boolean LANGUAGE sql VOLATILE
AS $$ SELECT pg_advisory_xact_lock_shared(7) IS NOT NULL $$;
ALTER TABLE pgq_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY hold ON pgq_attempts USING (hold());
"""
FREE = "DROP OWNED BY {role}; DROP FUNCTION hold() CASCADE; DROP ROLE {role}"


@pytest.fixture
async def slow_reader(conn: Any, connect: Connect) -> AsyncIterator[Any]:
    """A connection that waits for advisory lock 7 when it reads attempts."""
    role = f"pgq_holds_{conn.get_server_pid()}"
    await conn.execute(HOLD.format(role=role))
    other = await connect()
    await other.execute(f"SET ROLE {role}")
    yield other
    await conn.execute(FREE.format(role=role))


async def test_a_job_that_ran_again_meanwhile(
    conn: Any, connect: Connect, slow_reader: Any
) -> None:
    """A job that is retried, runs and ends while prune judges it by what it was before stays."""
    observer = await connect()
    job = await aged(conn, await verbs.worked(conn, "failed"), 2 * DAY)
    await conn.execute("SELECT pg_advisory_lock(7)")
    pruning = prune(slow_reader, failed=DAY)
    async with verbs.waiting(observer, slow_reader, pruning) as task:
        assert await verbs.retry(conn, job) == {job: "retried"}
        await verbs.finish(conn, (await verbs.claim(conn)).jobs)
        await conn.execute("SELECT pg_advisory_unlock(7)")
    assert (await task)["pruned"] == 0
    assert await verbs.states(conn) == {job: "succeeded"}


async def test_two_prunes_share(conn: Any, connect: Connect) -> None:
    """Two prunes at once do not wait for each other and delete every job once."""
    other = await connect()
    await verbs.impatient(other)
    for _ in range(3):
        await verbs.worked(conn)
    async with verbs.held(conn):
        assert (await prune(conn))["pruned"] == 3
        assert (await prune(other))["pruned"] == 0
    assert await verbs.count(conn, "pgq_jobs") == 0
