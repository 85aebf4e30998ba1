"""Claim: never too many, in order, nobody twice, nobody lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.sql import verbs
from tests.sql.verbs import UNDO

Connect = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("count", [0, 1, 4, 10])
async def test_never_more_than_asked(conn: Any, count: int) -> None:
    """A claim never takes more jobs than it was asked for, over however many lanes."""
    for name in ("one", "two", "three"):
        await verbs.enqueue(conn, name, count=3)
    claimed = await verbs.claim(conn, count)
    assert len(claimed.jobs) == min(count, 9)
    assert await verbs.count(conn, "pgq_ready") == 9 - len(claimed.jobs)


async def test_lower_priority_numbers_first(conn: Any) -> None:
    """Priority 0 runs before 5 before 10, whatever came in first."""
    ids = await verbs.enqueue(conn, count=6, priorities=[10, 5, 0, 10, 5, 0])
    taken = [(await verbs.claim(conn, 1)).ids[0] for _ in ids]
    assert taken == [ids[2], ids[5], ids[1], ids[4], ids[0], ids[3]]


async def test_priority_holds_across_names(conn: Any) -> None:
    """Priority orders the jobs of different entrypoints too, and inside one batch."""
    low, high = await verbs.queries(conn).enqueue(["low", "high"], priorities=[9, 1])
    assert (await verbs.claim(conn)).ids == [high, low]


async def test_first_in_first_out(conn: Any) -> None:
    """Within one lane jobs start in the order they were enqueued."""
    ids = await verbs.enqueue(conn, count=20)
    assert (await verbs.claim(conn, 7)).ids == ids[:7]
    assert (await verbs.claim(conn, 20)).ids == ids[7:]


async def test_a_claimed_job_is_running(conn: Any) -> None:
    """A claimed job is running; its attempt counts from 1 and its lease says who holds it."""
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn, worker=42)).jobs
    assert (taken.attempt, taken.spent, taken.crashes, taken.cap) == (1, 0, 0, 5)
    row = await conn.fetchrow("SELECT state, attempt, running_on FROM pgq_job_states")
    assert tuple(row) == ("running", 1, 42)
    (lease,) = await verbs.call(conn, "own_leases", worker=42, lowest=0)
    assert (lease["lease_id"], lease["token"]) == (taken.lease_id, taken.token)
    assert lease["job_ids"] == [job]


async def test_a_job_carries_its_body(conn: Any) -> None:
    """The claim returns the whole body: payload, headers, keys, limits."""
    ids = await verbs.queries(conn).enqueue(
        "work",
        b"\x00\xff",
        3,
        headers={"trace": "ab"},
        unique_keys="u",
        max_attempts=7,
        timeout=2.5,
    )
    values = verbs.claim_values(await verbs.lanes(conn), worker=1, count=1)
    row = (await verbs.call(conn, "claim", **values))[0]
    assert [row["job_id"]] == ids
    assert (row["payload"], row["headers"], row["priority"]) == (b"\x00\xff", '{"trace": "ab"}', 3)
    assert (row["unique_key"], row["max_attempts"], row["cap"]) == ("u", 7, 7)
    assert row["timeout"] == 2.5


async def test_two_claimers_on_one_lane(conn: Any, connect: Connect) -> None:
    """Two claims in flight on the same lane take different jobs, and neither waits."""
    other = await connect()
    ids = await verbs.enqueue(conn, count=10)
    await verbs.impatient(other)
    async with verbs.held(conn):
        mine = await verbs.claim(conn, 4, worker=1)
        yours = await verbs.claim(other, 10, worker=2)
    assert (mine.ids, yours.ids) == (ids[:4], ids[4:])


async def test_many_claimers_at_once(conn: Any, connect: Connect) -> None:
    """Eight claimers on connections of their own take every job exactly once."""
    claimers = [await connect() for _ in range(8)]
    for name in ("one", "two", "three"):
        await verbs.insert(conn, name, 200)

    async def drain(worker: int, on: Any) -> list[int]:
        found: list[int] = []
        empty = 0
        while empty < 2:
            ids = (await verbs.claim(on, 7, worker=worker)).ids
            empty = 0 if ids else empty + 1
            found += ids
        return found

    found = await asyncio.gather(*(drain(i, on) for i, on in enumerate(claimers)))
    taken = list(itertools.chain.from_iterable(found))
    assert len(taken) == len(set(taken)) == 600
    assert await verbs.count(conn, "pgq_ready") == 0


async def test_a_claim_rolled_back_leaves_its_jobs(conn: Any, connect: Connect) -> None:
    """When a claim rolls back its jobs are ready as before, at their old places."""
    other = await connect()
    ids = await verbs.enqueue(conn, count=3)
    async with verbs.held(conn, end=UNDO):
        assert len((await verbs.claim(conn)).jobs) == 3
    assert (await verbs.claim(other)).ids == ids
    assert await verbs.count(conn, "pgq_leases") == 1


async def test_a_lane_may_be_read_in_part(conn: Any) -> None:
    """A claim takes only what lies behind a lane's start and up to its end."""
    ids = await verbs.enqueue(conn, count=6)
    of = [await verbs.lane(conn)]
    rows = await conn.fetch("SELECT position FROM pgq_ready ORDER BY position")
    places = [row["position"] for row in rows]
    part = await verbs.claim(conn, of=of, starts=[places[1]], ends=[places[3]])
    assert part.ids == ids[2:4]
    assert (await verbs.claim(conn, of=of)).ids == ids[:2] + ids[4:]


async def test_a_missing_body_is_passed_over(conn: Any) -> None:
    """A pointer whose body was deleted by hand vanishes quietly; its neighbours are claimed."""
    ids = await verbs.enqueue(conn, count=3)
    await conn.execute("DELETE FROM pgq_jobs WHERE id = $1", ids[1])
    claimed = await verbs.claim(conn)
    assert claimed.ids == [ids[0], ids[2]]
    assert await verbs.count(conn, "pgq_ready") == 0
    assert await verbs.finish(conn, claimed.jobs) == {}
    assert await verbs.count(conn, "pgq_leases") == 0


async def test_only_missing_bodies_leave_no_lease(conn: Any) -> None:
    """A claim that finds no body at all writes no lease."""
    await verbs.enqueue(conn, count=2)
    await conn.execute("DELETE FROM pgq_jobs")
    assert (await verbs.claim(conn)).jobs == []
    assert await verbs.count(conn, "pgq_leases") == 0
    assert await verbs.count(conn, "pgq_ready") == 0


async def test_one_batch_one_lease(conn: Any) -> None:
    """All jobs of one claim share a lease."""
    await verbs.enqueue(conn, count=5)
    claimed = await verbs.claim(conn)
    assert len({job.lease_id for job in claimed.jobs}) == 1


async def test_single_lanes_get_a_lease_per_job(conn: Any) -> None:
    """Jobs that complete in their handler's transaction get a lease each; others share one."""
    await verbs.enqueue(conn, "alone", count=3)
    await verbs.enqueue(conn, "shared", count=3)
    single = await verbs.lane(conn, "alone")
    claimed = await verbs.claim(conn, single=[single])
    by_name: dict[str, set[int]] = {}
    for job in claimed.jobs:
        by_name.setdefault(job.entrypoint, set()).add(job.lease_id)
    assert {name: len(leases) for name, leases in by_name.items()} == {"alone": 3, "shared": 1}
    rows = await verbs.call(conn, "own_leases", worker=1, lowest=0)
    assert sorted(len(row["job_ids"]) for row in rows) == [1, 1, 1, 3]


async def test_tokens_differ(conn: Any) -> None:
    """The lease keeps the token drawn for this claim."""
    await verbs.enqueue(conn, count=2)
    await verbs.claim(conn, 1, token=111)
    await verbs.claim(conn, 1, token=222)
    rows = await verbs.call(conn, "own_leases", worker=1, lowest=0)
    assert [row["token"] for row in rows] == [111, 222]


# -- durability -------------------------------------------------------------------------------


async def durability(on: Any) -> str:
    return str(await on.fetchval("SELECT current_setting('synchronous_commit')"))


async def test_an_ordinary_claim_commits_without_a_flush(conn: Any) -> None:
    """The claim of ordinary jobs commits with synchronous_commit off, for its transaction only."""
    await verbs.enqueue(conn)
    async with verbs.held(conn):
        await verbs.claim(conn)
        assert await durability(conn) == "off"
    assert await durability(conn) == "on"


@pytest.mark.parametrize("setting", ["on", "local"])
async def test_a_job_that_may_start_once_is_flushed(conn: Any, setting: str) -> None:
    """The claim of a job with max_attempts=1 commits as durably as the server is set to."""
    await conn.execute(f"SET synchronous_commit = {setting}")
    await verbs.enqueue(conn, count=3, max_attempts=[None, 1, None])
    async with verbs.held(conn):
        await verbs.claim(conn)
        assert await durability(conn) == setting


async def test_the_entrypoints_own_limit_counts_too(conn: Any) -> None:
    """A job whose entrypoint says max_attempts=1 is flushed as well."""
    await verbs.enqueue(conn)
    async with verbs.held(conn):
        assert (await verbs.claim(conn, cap=1)).jobs[0].cap == 1
        assert await durability(conn) == "on"


async def test_flushed_however_its_lease_is_numbered(conn: Any) -> None:
    """A job that may start only once is flushed, however many leases others draw meanwhile."""
    await verbs.enqueue(conn, "once", max_attempts=1)
    await verbs.enqueue(conn, "often")
    of = [await verbs.lane(conn, name) for name in ("once", "often")]
    await conn.execute("ALTER SEQUENCE pgq_lease_ids INCREMENT 50")
    async with verbs.held(conn):
        await verbs.claim(conn, 2, of=of, single=of)
        assert await durability(conn) == "on"


async def test_a_look_is_not_flushed(conn: Any) -> None:
    """A look that promotes jobs and takes none is not flushed either: it can be repeated."""
    async with verbs.held(conn):
        await verbs.look(conn, idle_ms=1000)
        assert await durability(conn) == "off"


async def test_enqueue_and_finish_are_durable(conn: Any) -> None:
    """Enqueuing and finishing never turn durability down."""
    async with verbs.held(conn):
        await verbs.enqueue(conn)
        assert await durability(conn) == "on"
    (taken,) = (await verbs.claim(conn)).jobs
    async with verbs.held(conn):
        await verbs.finish(conn, taken)
        assert await durability(conn) == "on"


# -- promotion --------------------------------------------------------------------------------


async def overdue(on: Any, count: int, entrypoint: str = "work") -> list[int]:
    """Deferred jobs that have become due; the first id is due last."""
    rows = await on.fetch(
        """
        INSERT INTO pgq_jobs (entrypoint, run_at)
        SELECT $1, now() + interval '1 hour' - n * interval '1 ms' FROM generate_series(1, $2) AS n
        RETURNING id
        """,
        entrypoint,
        count,
    )
    await on.execute("UPDATE pgq_deferred SET run_at = run_at - interval '2 hours'")
    return [row["id"] for row in rows]


async def test_a_look_promotes_in_due_order(conn: Any) -> None:
    """Jobs that have become due are made ready in the order they were due."""
    ids = await overdue(conn, 5)
    assert (await verbs.look(conn))["promoted"] == 5
    assert (await verbs.claim(conn)).ids == ids[::-1]


async def test_promotion_is_bounded(conn: Any) -> None:
    """One look promotes at most 1,000 jobs, the longest overdue first, and the next one goes on."""
    ids = await overdue(conn, 1500)
    assert (await verbs.look(conn))["promoted"] == 1000
    rows = await conn.fetch("SELECT job_id FROM pgq_deferred")
    assert {row["job_id"] for row in rows} == set(ids[:500])
    assert (await verbs.look(conn))["promoted"] == 500
    assert (await verbs.claim(conn, 3)).ids == ids[:-4:-1]


async def test_nothing_is_promoted_early(conn: Any) -> None:
    """A job that is due later stays deferred, and the look says when it is due."""
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, run_at) VALUES ('work', now() + interval '100 s')"
    )
    look = await verbs.look(conn)
    assert look["promoted"] == 0
    assert 0 < look["due"] <= 100


async def test_two_promoters_share(conn: Any, connect: Connect) -> None:
    """Two looks in flight promote each job once, and neither waits for the other."""
    other = await connect()
    await verbs.look(conn)  # the first look of all begins the epoch, and others wait for it
    await overdue(conn, 3)
    await verbs.impatient(other)
    async with verbs.held(conn):
        assert (await verbs.look(conn))["promoted"] == 3
        assert (await verbs.look(other))["promoted"] == 0
    assert len((await verbs.claim(other)).jobs) == 3


async def test_a_promotion_rolled_back_is_repeated(conn: Any, connect: Connect) -> None:
    """When a look rolls back the jobs it promoted are deferred as before and promoted again."""
    other = await connect()
    (job,) = await overdue(conn, 1)
    async with verbs.held(conn, end=UNDO):
        await verbs.look(conn)
    assert await verbs.state(other, job) == "deferred"
    assert (await verbs.look(other))["promoted"] == 1
    assert await verbs.state(other, job) == "ready"


async def test_promotion_keeps_the_counts(conn: Any) -> None:
    """Promotion carries attempt, spent and crashes along."""
    (job,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, taken, "retry", delay=60, spent=1, crashes=1)
    await conn.execute("UPDATE pgq_deferred SET run_at = now() - interval '1 s'")
    await verbs.look(conn)
    found = await verbs.pointer(conn, job)
    assert found is not None
    assert (found["place"], found["attempt"], found["spent"], found["crashes"]) == (
        "ready",
        1,
        1,
        1,
    )


# -- the look ---------------------------------------------------------------------------------


async def test_a_look_tells_the_news(conn: Any) -> None:
    """A look says which cancellations are wished, what is paused and how long the directory is."""
    await verbs.enqueue(conn, "one")
    await verbs.enqueue(conn, "two")
    (job, _) = (await verbs.claim(conn)).ids
    await verbs.cancel(conn, job, reason="enough")
    await verbs.queries(conn).pause("default", "two")
    await verbs.queries(conn).pause("mail")
    await verbs.queries(conn).pause("gone")
    await verbs.queries(conn).resume("gone")
    look = await verbs.look(conn)
    assert look["cancels"] == {str(job): "enough"}
    assert sorted(look["paused"]) == [["default", "two"], ["mail", ""]]
    assert not look["alone"]
    await verbs.enqueue(conn, "two")
    assert (await verbs.look(conn))["lanes"] == look["lanes"]
    await verbs.enqueue(conn, "three")
    assert (await verbs.look(conn))["lanes"] != look["lanes"]


async def test_the_epoch_stays_while_the_server_does(conn: Any, connect: Connect) -> None:
    """Every connection sees the same epoch as long as the server runs."""
    other = await connect()
    epochs = {(await verbs.look(on))["epoch"] for on in (conn, other, conn)}
    assert len(epochs) == 1


async def test_an_emptied_epoch_is_a_new_one(conn: Any, connect: Connect) -> None:
    """Where crash recovery has emptied the epoch's table, the next look begins a new epoch."""
    other, observer = await connect(), await connect()
    before = (await verbs.look(conn))["epoch"]
    await conn.execute("TRUNCATE pgq_epoch")
    async with verbs.held(conn):
        after = (await verbs.look(conn))["epoch"]
        async with verbs.waiting(observer, other, verbs.look(other, worker=2)) as second:
            await conn.execute(verbs.KEEP)
    assert before != after
    assert (await second)["epoch"] == after
