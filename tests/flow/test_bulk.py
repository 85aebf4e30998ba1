"""Many jobs at once: retry, cancel and delete by filter, redrive, prune while the queue is busy."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.errors import InvalidInput
from pgq_core.queries import Queries
from tests.sql import verbs
from tests.sql.verbs import NO_TIME
from tests.support import eventually
from tests.worker.harness import working


async def ended(
    on: Any, count: int, outcome: str, entrypoint: str = "work", **fields: Any
) -> list[int]:
    """So many jobs that have run to this outcome."""
    ids = await verbs.enqueue(on, entrypoint, count, **fields)
    claimed = await verbs.claim(on, 10_000)
    await verbs.finish(on, [job for job in claimed.jobs if job.job_id in ids], outcome)
    return ids


async def tally(on: Any) -> dict[str, int]:
    """State → how many."""
    rows = await on.fetch("SELECT state, count(*) FROM pgq_job_states GROUP BY state")
    return dict(rows)


# -- by filter ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "states", "count"),
    [("cancel", None, 30), ("retry", None, 20), ("delete", None, 50), ("delete", ["failed"], 20),
     ("retry", ["succeeded"], 30)],
)  # fmt: skip
async def test_each_verb(
    conn: Any, queries: Queries, verb: str, states: list[str] | None, count: int
) -> None:
    """Without states a bulk verb applies to the jobs it makes sense for; a dry run says the same
    number and changes nothing."""
    await ended(conn, 20, "failed")
    await ended(conn, 30, "succeeded")
    await verbs.enqueue(conn, count=30)
    before = await tally(conn)
    assert await queries.bulk(verb, states=states, dry_run=True) == count
    assert await tally(conn) == before
    assert await queries.bulk(verb, states=states) == count
    assert await tally(conn) != before


async def test_filters(conn: Any, queries: Queries) -> None:
    """Filters: queue, entrypoint, state, when it was enqueued, and at most so many, oldest first."""
    old = await ended(conn, 5, "failed", "a")
    moment = await conn.fetchval("SELECT clock_timestamp()")
    await ended(conn, 5, "failed", "a")
    await ended(conn, 5, "failed", "b", queues="mail")
    assert await queries.bulk("retry", entrypoint="a", dry_run=True) == 10
    assert await queries.bulk("retry", queue="mail", dry_run=True) == 5
    assert await queries.bulk("retry", created_before=moment, dry_run=True) == 5
    assert await queries.bulk("retry", created_after=moment, dry_run=True) == 10
    assert await queries.bulk("retry", queue="mail", entrypoint="a", dry_run=True) == 0
    assert await queries.bulk("retry", limit=3) == 3
    assert (await verbs.claim(conn)).ids == old[:3]


async def test_in_batches(conn: Any, queries: Queries) -> None:
    """1,234 jobs are changed in several transactions of at most 500; jobs enqueued meanwhile are not
    chased."""
    await verbs.insert(conn, count=1234)
    assert await queries.bulk("cancel", limit=700) == 700
    assert await queries.bulk("cancel") == 534
    assert await tally(conn) == {"cancelled": 1234}


async def test_running_jobs_are_asked_to_stop(conn: Any, queries: Queries) -> None:
    """Cancelling in bulk asks running jobs to stop; deleting leaves them alone."""
    await verbs.enqueue(conn, count=3)
    await verbs.claim(conn, 2)
    assert await queries.bulk("delete", states=["running", "ready"]) == 0
    assert await queries.bulk("cancel") == 3
    assert await tally(conn) == {"running": 2, "cancelled": 1}
    assert await verbs.count(conn, "pgq_cancels") == 2


async def test_a_held_key_is_not_counted(conn: Any, queries: Queries) -> None:
    """A retry that another job's unique key refuses does not count as done."""
    await ended(conn, 1, "failed", unique_keys="k")
    await verbs.enqueue(conn, unique_keys="k")
    assert await queries.bulk("retry", dry_run=True) == 1
    assert await queries.bulk("retry") == 0


async def test_wrong_verbs(queries: Queries) -> None:
    """Only three verbs go by filter, and states are checked."""
    with pytest.raises(InvalidInput, match="'cancel', 'retry', 'delete'"):
        await queries.bulk("explode")
    with pytest.raises(ValueError, match="asleep"):
        await queries.bulk("cancel", states=["asleep"])


# -- redrive --------------------------------------------------------------------------------------


async def test_redrive(conn: Any, queries: Queries) -> None:
    """Failed jobs come back one after the other, so many a second, oldest first; nothing has to keep
    running meanwhile."""
    ids = await ended(conn, 10, "failed")
    await ended(conn, 3, "succeeded")
    assert await queries.redrive(rate=20) == 10
    rows = await conn.fetch(
        "SELECT job_id, run_at FROM pgq_deferred UNION ALL "
        "SELECT job_id, now() FROM pgq_ready ORDER BY run_at"
    )
    assert [row["job_id"] for row in rows] == ids
    gaps = [two["run_at"] - one["run_at"] for one, two in pairwise(rows[1:])]
    assert set(gaps) == {timedelta(seconds=0.05)}
    assert await queries.redrive(rate=20) == 0


@pytest.mark.parametrize("rate", [0, -1, math.nan, 1e-12])
async def test_redrive_needs_a_rate(queries: Queries, rate: float) -> None:
    """A rate that is none, or that would take more than a hundred years, is refused by its value."""
    with pytest.raises(InvalidInput, match="rate="):
        await queries.redrive(rate=rate)


async def test_redrive_picks_what_is_still_failed(conn: Any, queries: Queries) -> None:
    """Jobs that failed once and have succeeded since do not use up the limit."""
    old = await ended(conn, 5, "failed")
    await queries.retry(old)
    await verbs.finish(conn, (await verbs.claim(conn)).jobs)
    new = await ended(conn, 5, "failed")
    await ended(conn, 2, "failed", "other", queues="mail")
    assert await queries.redrive(rate=1000, limit=5) == 5
    assert {(await queries.get_job(id_)).state.value for id_ in new} <= {"ready", "deferred"}
    assert await queries.redrive(rate=1000, queue="mail", entrypoint="other") == 2


async def test_redrive_and_keys(conn: Any, queries: Queries) -> None:
    """A redriven job takes its unique key again, or stays failed where another job holds it; under a
    concurrency key it waits for its turn."""
    (one,) = await ended(conn, 1, "failed", unique_keys="a")
    (two,) = await ended(conn, 1, "failed", unique_keys="b")
    (holder,) = await verbs.enqueue(conn, unique_keys="b")
    assert await queries.redrive(rate=1000) == 1
    assert await verbs.held_keys(conn) == {"a": one, "b": holder}
    assert await verbs.state(conn, two) == "failed"


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
async def test_wrong_redrive_rates(queries: Queries, rate: float) -> None:
    """The rate is above zero."""
    with pytest.raises(InvalidInput, match="rate="):
        await queries.redrive(rate=rate)


async def test_a_redrive_at_work(pgq: PgQueuer, conn: Any) -> None:
    """A worker runs redriven jobs at the rate asked for, not all at once."""
    starts: list[float] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        starts.append(asyncio.get_running_loop().time())

    await ended(conn, 20, "failed")
    async with working(pgq):
        await pgq.queries.redrive(rate=25)

        async def all_ran() -> bool:
            return len(starts) == 20

        await eventually(all_ran)
    assert 0.6 < starts[-1] - starts[0] < 3.0


# -- prune ----------------------------------------------------------------------------------------


async def test_pruning_while_the_queue_is_busy(pgq: PgQueuer, other: PgQueuer, conn: Any) -> None:
    """Pruning in small batches while a worker finishes thousands of jobs: nothing that is unfinished
    goes, no attempt stays without its job, and the worker is not held up."""
    done = 0

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        nonlocal done
        done += 1

    await verbs.insert(conn, count=6000)
    pruned = 0
    async with working(pgq, concurrency=50):
        while done < 6000:
            pruned += await other.queries.prune(
                succeeded=NO_TIME, failed=NO_TIME, cancelled=NO_TIME, batch=200
            )

        async def quiet() -> bool:
            return await verbs.count(conn, "pgq_leases") == 0

        await eventually(quiet)
    assert done == 6000
    pruned += await other.queries.prune(succeeded=NO_TIME, failed=NO_TIME, cancelled=NO_TIME)
    assert pruned == 6000
    assert await verbs.count(conn, "pgq_jobs") == await verbs.count(conn, "pgq_attempts") == 0


async def test_every_outcome_has_its_age(conn: Any, queries: Queries) -> None:
    """Succeeded, failed and cancelled jobs are kept for as long as each is given."""
    for outcome in ("succeeded", "failed", "cancelled"):
        await ended(conn, 2, outcome)
    await conn.execute("UPDATE pgq_attempts SET finished_at = finished_at - interval '2 days'")
    week, day = timedelta(days=7), timedelta(days=1)
    assert await queries.prune(succeeded=day, failed=week, cancelled=week) == 2
    assert await tally(conn) == {"failed": 2, "cancelled": 2}
    assert await queries.prune(succeeded=week, failed=day, cancelled=week) == 2
    assert await tally(conn) == {"cancelled": 2}
