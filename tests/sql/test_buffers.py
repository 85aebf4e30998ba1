"""What a claim costs, counted in blocks: it depends on the batch, on nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pgq_core.worker.lanes import SLICE
from tests.sql import verbs
from tests.sql.hands import Hand, hand

Connect = Callable[..., Awaitable[Any]]
MANY = 20_000
BATCH = 10


async def warm(hand: Hand) -> int:
    """The blocks of a claim when there is nothing old about; plans and catalogs are cached by then.

    Leaves no job behind.
    """
    await verbs.insert(hand.on, count=3 * BATCH)
    for _ in range(3):
        await hand.claim_buffers(BATCH)
    cost = await hand.claim_buffers(BATCH)
    await hand.claim(1000)
    await hand.finish()
    return cost


async def work_through(on: Any, hand: Hand, count: int) -> None:
    """So many jobs come in, run and finish."""
    await verbs.insert(on, count=count)
    done = 0
    while done < count:
        taken = await hand.claim(1000, look=True)
        assert taken, f"{count - done} jobs were not found"
        done += len(taken)
        await hand.finish()


@asynccontextmanager
async def snapshot(on: Any, kind: str) -> AsyncIterator[None]:
    """A transaction that stays open: one that reads, or one that has written."""
    async with verbs.held(on, "REPEATABLE READ"):
        if kind == "reader":
            await on.fetchval("SELECT count(*) FROM pgq_jobs")
        else:
            await on.execute("CREATE TEMP TABLE mine AS SELECT 1")
            await on.execute("SELECT pg_current_xact_id()")
        yield


@pytest.mark.parametrize("kind", ["reader", "writer"])
async def test_an_old_snapshot_does_not_slow_claims(conn: Any, connect: Connect, kind: str) -> None:
    """While a transaction stays open, a claim after 20,000 jobs touches as little as the first."""
    other = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    cost = await warm(mine)
    async with snapshot(other, kind):
        await work_through(conn, mine, MANY)
        await verbs.insert(conn, count=BATCH)
        marked = await mine.claim_buffers(BATCH)
        mine.lanes.forget()
        unmarked = await mine.claim_buffers(BATCH)
    assert marked <= 1.5 * cost + 20
    assert unmarked > 3 * marked, "the test has nothing to measure"


async def test_the_floor_is_read_cheaply_under_a_snapshot(conn: Any, connect: Connect) -> None:
    """Moving the floor costs little too: under a reader's snapshot it keeps up with the mark."""
    reader = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    async with snapshot(reader, "reader"):
        await work_through(conn, mine, MANY)
        for _ in range(3):
            await mine.look()
        lane = mine.only_lane()
        assert lane.mark - lane.floor < 2000
        assert mine.lanes.sweep_plan() == []


async def test_sweeps_go_in_slices(conn: Any, connect: Connect) -> None:
    """Under a writer's snapshot a sweep walks one slice, however much lies behind the mark."""
    writer = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await warm(mine)
    async with snapshot(writer, "writer"):
        await work_through(conn, mine, MANY)
        await conn.execute("SELECT setval('pgq_positions', $1)", 4 * SLICE)
        (job,) = await verbs.enqueue(conn)
        assert await mine.claim() == [job]
        ends = []
        for _ in range(4):
            (stretch,) = mine.lanes.sweep_plan()
            assert stretch.end - stretch.start <= SLICE
            ends.append(stretch.end)
            await mine.sweep()
        assert ends == sorted(set(ends))


async def test_many_ready_jobs_do_not_slow_claims(conn: Any) -> None:
    """With 50,000 jobs ready a claim touches what it touches with thirty."""
    await verbs.enqueue(conn)
    mine = await hand(conn)
    cost = await warm(mine)
    await verbs.insert(conn, count=50_000)
    assert await mine.claim_buffers(BATCH) <= 1.3 * cost + 10


@pytest.mark.parametrize("state", ["never analyzed", "analyzed empty", "analyzed full"])
@pytest.mark.parametrize("lanes", [1, 40])
async def test_statistics_do_not_flip_the_plan(
    conn: Any, connect: Connect, state: str, lanes: int
) -> None:
    """Whatever the statistics say, a new session's claim reads lanes by index, in order."""
    names = [f"name{i}" for i in range(lanes)]
    for name in names:
        await verbs.insert(conn, name, 2 * BATCH)
    mine = await hand(conn)
    await mine.claim_buffers(BATCH)
    cost = await mine.claim_buffers(BATCH)
    if state == "analyzed empty":
        await conn.execute("TRUNCATE pgq_ready")
        await conn.execute("ANALYZE pgq_ready, pgq_jobs, pgq_leases")
    for name in names:
        await verbs.insert(conn, name, 40_000 // lanes)
    if state == "analyzed full":
        await conn.execute("ANALYZE pgq_ready, pgq_jobs, pgq_leases")
    yours = await hand(await connect())
    await yours.claim_buffers(BATCH)
    assert await yours.claim_buffers(BATCH) <= 1.3 * cost + 10


async def test_a_thousand_lanes(conn: Any) -> None:
    """A claim over 1,000 lanes, 990 of them empty, touches at most 1.5 times what ten cost."""
    await conn.execute(
        """
        INSERT INTO pgq_jobs (entrypoint, priority)
        SELECT 'name' || n % 10, 5 FROM generate_series(1, 1000) AS n
        """
    )
    ten = await hand(conn)
    await ten.claim_buffers(100)
    cost = await ten.claim_buffers(100)
    await conn.execute(
        """
        INSERT INTO pgq_jobs (entrypoint, priority)
        SELECT 'empty' || n, n % 10 FROM generate_series(1, 990) AS n
        """
    )
    await conn.execute("DELETE FROM pgq_ready WHERE job_id > 1000")
    await conn.execute("VACUUM pgq_ready")
    thousand = await hand(conn)
    assert len(thousand.lanes.plan()) == 1000
    for _ in range(2):
        await thousand.claim(5000)  # now it has seen which lanes are empty
    await conn.execute(
        """
        INSERT INTO pgq_jobs (entrypoint, priority)
        SELECT 'name' || n % 10, 5 FROM generate_series(1, 1000) AS n
        """
    )
    thousand.lanes.name(await verbs.lane(conn, "name1"))
    await thousand.claim(1)
    for n in range(10):
        thousand.lanes.name(await verbs.lane(conn, f"name{n}"))
    assert len(thousand.lanes.plan()) <= 64 + 10
    for n in range(10):
        thousand.lanes.name(await verbs.lane(conn, f"name{n}"))
    assert await thousand.claim_buffers(100) <= 1.5 * cost


# -- deferred jobs ----------------------------------------------------------------------------


async def look_buffers(on: Any, due_from: Any = verbs.BEGINNING) -> int:
    """How many blocks a look touches; it is rolled back."""
    values = verbs.claim_values([], worker=1, count=0) | {"look": True, "due_from": due_from}
    async with verbs.held(on, end=verbs.UNDO):
        return await verbs.buffers(on, "claim", **values)


async def later(on: Any, count: int) -> None:
    """So many jobs that are due in an hour."""
    await on.execute(
        """
        INSERT INTO pgq_jobs (entrypoint, run_at)
        SELECT 'work', now() + interval '1 hour' + n * interval '1 ms'
        FROM generate_series(1, $1) AS n
        """,
        count,
    )


async def overdue(on: Any, count: int) -> None:
    """So many deferred jobs whose time has come."""
    async with verbs.held(on):
        await on.execute("SET LOCAL session_replication_role = replica")  # no triggers
        await on.execute(
            """
            WITH made AS (
                INSERT INTO pgq_jobs (entrypoint) SELECT 'work' FROM generate_series(1, $1)
                RETURNING id
            )
            INSERT INTO pgq_deferred (run_at, lane_id, job_id)
            SELECT now() - interval '1 hour' + id * interval '1 ms', 1, id FROM made
            """,
            count,
        )


async def test_deferred_jobs_cost_nothing(conn: Any) -> None:
    """With 50,000 deferred jobs neither a look nor a claim touches more than with a hundred."""
    await verbs.enqueue(conn)
    await later(conn, 100)
    mine = await hand(conn)
    claim = await warm(mine)
    await look_buffers(conn)
    look = await look_buffers(conn)
    await later(conn, 50_000)
    assert await look_buffers(conn) <= look + 5
    await verbs.insert(conn, count=BATCH)
    assert await mine.claim_buffers(BATCH) <= 1.3 * claim + 10


@pytest.mark.parametrize("kind", ["reader", "writer"])
async def test_an_old_snapshot_does_not_slow_looks(conn: Any, connect: Connect, kind: str) -> None:
    """While a transaction stays open, a look after 20,000 promotions is as cheap as the first."""
    other = await connect()
    await verbs.look(conn)
    mine = await hand(conn)
    await look_buffers(conn)
    cost = await look_buffers(conn)
    async with snapshot(other, kind):
        await overdue(conn, MANY)
        for _ in range(MANY // 1000 + 1):
            await mine.look(from_the_floor=True)
        assert await verbs.count(conn, "pgq_deferred") == 0
        marked = await look_buffers(conn, mine.claimer.due.begin(mine.clock))
        unmarked = await look_buffers(conn)
    assert marked <= 1.5 * cost + 20
    assert unmarked > 3 * marked, "the test has nothing to measure"


# -- the others -------------------------------------------------------------------------------


async def finish_buffers(on: Any, jobs: list[verbs.Taken]) -> int:
    """How many blocks it touches to finish these jobs."""
    empty: list[Any] = [None] * len(jobs)
    return await verbs.buffers(
        on,
        "finish",
        worker=1,
        shut=[jobs[0].lease_id],
        shut_tokens=[jobs[0].token],
        open=[],
        open_tokens=[],
        leases=[job.lease_id for job in jobs],
        jobs=[job.job_id for job in jobs],
        attempts=[job.attempt for job in jobs],
        outcomes=["succeeded"] * len(jobs),
        started=[0.0] * len(jobs),
        finished=[0.0] * len(jobs),
        errors=empty,
        results=empty,
        lanes=[job.lane_id for job in jobs],
        delays=[0.0] * len(jobs),
        spent=[0] * len(jobs),
        crashes=[0] * len(jobs),
        keyed=True,
        requeue=False,
    )


async def test_an_old_snapshot_does_not_slow_finishes(conn: Any, connect: Connect) -> None:
    """While a reader's snapshot is held, finishing a batch after 20,000 jobs costs as before."""
    reader = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    costs = []
    await warm(mine)
    await mine.claim()
    await mine.finish()
    async with snapshot(reader, "reader"):
        for count in (0, 0, MANY):
            await work_through(conn, mine, count)
            await verbs.insert(conn, count=BATCH)
            lane = mine.only_lane()
            jobs = (await verbs.claim(conn, BATCH, of=[lane.id], starts=[lane.start])).jobs
            assert len(jobs) == BATCH
            costs.append(await finish_buffers(conn, jobs))
    assert costs[2] <= 1.5 * costs[1] + 20


async def test_enqueue_costs_the_same_however_many_wait(conn: Any) -> None:
    """A plain INSERT touches as little with 50,000 jobs waiting as with a few."""
    insert = "INSERT INTO pgq_jobs (entrypoint) VALUES ('work')"
    explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + insert

    async def cost() -> int:
        plan = json.loads(await conn.fetchval(explain))[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    for _ in range(3):
        await cost()
    before = await cost()
    await verbs.insert(conn, count=50_000)
    assert await cost() <= before + 10
