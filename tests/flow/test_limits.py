"""Concurrency limits and keys in SQL: places are counted and taken as one act, order is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.flow import steps
from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO

Connect = Callable[..., Awaitable[Any]]


async def claim(on: Any, count: int = 10, **rest: Any) -> list[int]:
    """The ids that one claim takes."""
    return (await steps.claim_limited(on, count, **rest)).ids


async def drain(on: Any, rounds: int = 100) -> list[int]:
    """Claim and finish one after the other until nothing is left; the ids in the order of start."""
    order: list[int] = []
    for _ in range(rounds):
        claimed = await steps.claim_limited(on)
        order += claimed.ids
        if not claimed.jobs and not claimed.status["more"]:
            return order
        for job in claimed.jobs:
            await steps.finish(on, job, shut=False)
    raise AssertionError(f"not drained after {rounds} rounds: {order}")


# -- a limit on an entrypoint -------------------------------------------------------------------


async def test_a_limit(conn: Any) -> None:
    """No more jobs of an entrypoint run than its limit says, over all workers; each end lets the
    next one start."""
    await steps.limit(conn, concurrency=3)
    ids = await verbs.enqueue(conn, count=10)
    first = await steps.claim_limited(conn, worker=1)
    assert first.ids == ids[:3]
    assert await claim(conn, worker=2) == []
    await steps.finish(conn, first.jobs[1], shut=False)
    assert await claim(conn, worker=2) == [ids[3]]
    assert await steps.holders(conn) == {"limit": [ids[0], ids[2], ids[3]]}


async def test_a_limit_spans_queues_and_priorities(conn: Any) -> None:
    """The limit counts the entrypoint's jobs in every queue and priority."""
    await steps.limit(conn, concurrency=2)
    await verbs.enqueue(
        conn, count=4, queues=["default", "mail", "default", "mail"], priorities=[5, 5, 1, 9]
    )
    assert len(await claim(conn)) == 2
    assert await claim(conn) == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "retry", "interrupted"])
async def test_every_outcome_frees_the_place(conn: Any, outcome: str) -> None:
    """An attempt's place under a limit is free as soon as its outcome is written, whatever it is."""
    await steps.limit(conn, concurrency=1)
    first, second = await verbs.enqueue(conn, count=2)
    (taken,) = (await steps.claim_limited(conn)).jobs
    await steps.finish(conn, taken, outcome)
    assert await steps.holders(conn) == {}
    assert await claim(conn, 1) == [second]


async def test_two_claimers_never_exceed(conn: Any, connect: Connect) -> None:
    """While a claim that takes places is not committed, another claimer takes none and does not
    wait; it is told to come back."""
    await steps.limit(conn, concurrency=2)
    await verbs.enqueue(conn, count=5)
    other = await connect()
    await verbs.impatient(other)
    async with verbs.held(conn):
        assert len(await claim(conn, 1)) == 1
        refused = await steps.claim_limited(other, worker=2)
        assert (refused.ids, refused.status["busy"]) == ([], True)
    assert len(await claim(other, worker=2)) == 1
    assert await claim(conn) == []


async def test_a_claim_rolled_back_frees_its_places(conn: Any) -> None:
    """A claim that rolls back leaves jobs and places as they were."""
    await steps.limit(conn, concurrency=2)
    ids = await verbs.enqueue(conn, count=3)
    async with verbs.held(conn, end=UNDO):
        assert await claim(conn) == ids[:2]
    assert await steps.holders(conn) == {}
    assert await claim(conn) == ids[:2]


@pytest.mark.parametrize(("before", "after", "more"), [(1, 3, 2), (3, 1, 0), (1, None, 4)])
async def test_changed_limits(conn: Any, before: int, after: int | None, more: int) -> None:
    """A limit that a new version of the code declares counts from then on: a higher one at once, a
    lower one as holders end."""
    await steps.limit(conn, concurrency=before)
    await verbs.enqueue(conn, count=5)
    first = await steps.claim_limited(conn)
    await steps.limit(conn, concurrency=after)
    assert len(await claim(conn)) == more
    if after is not None and after < before:
        await steps.finish(conn, first.jobs[0], shut=False)
        assert await claim(conn) == []


async def test_a_limit_taken_out_of_the_code(conn: Any) -> None:
    """A worker that knows an entrypoint without a limit removes the one declared before."""
    await steps.limit(conn, concurrency=1)
    await verbs.call(
        conn, "declare_limits", unlimited=["work"], entrypoints=[], concurrencies=[], rates=[],
        periods=[], bursts=[], per_keys=[],
    )  # fmt: skip
    await verbs.enqueue(conn, count=5)
    assert len(await claim(conn)) == 5


async def test_rescue_frees_places(conn: Any) -> None:
    """When its worker is rescued, a job's place under a limit is free in the same transaction."""
    await steps.limit(conn, concurrency=1)
    ids = await verbs.enqueue(conn, count=2)
    worker = await verbs.register(conn)
    (taken,) = (await steps.claim_limited(conn, worker=worker)).jobs
    assert await claim(conn) == []
    assert await verbs.crashed(conn, taken, worker) == "lost"
    assert await steps.holders(conn) == {}
    assert await claim(conn) == [ids[1]]


async def test_a_suspect_keeps_its_place(conn: Any) -> None:
    """A job that killed two workers runs alone, past the limited lanes; it keeps its place all the
    while, also over a retry, so that the limit still holds."""
    await steps.limit(conn, concurrency=1)
    (job,) = await verbs.enqueue(conn)
    for claim_one in (steps.claim_limited, steps.claim_limited):
        worker = await verbs.register(conn)
        (taken,) = (await claim_one(conn, worker=worker)).jobs
        assert await verbs.crashed(conn, taken, worker) == "lost"
    assert await steps.holders(conn) == {"limit": [job]}
    await verbs.enqueue(conn, count=2)
    assert await claim(conn) == []
    alone = [await verbs.lane(conn, kind="alone")]
    (taken,) = (await verbs.claim(conn, of=alone)).jobs
    await steps.finish(conn, taken, "retry")
    assert await claim(conn) == []
    (taken,) = (await verbs.claim(conn, of=alone)).jobs
    await steps.finish(conn, taken)
    assert len(await claim(conn)) == 1


# -- keys: order ----------------------------------------------------------------------------------


async def test_one_job_per_key_in_order(conn: Any) -> None:
    """Without a limit one job of each key runs at a time, in the order of enqueue; other keys go
    on beside it."""
    a1, a2, b1, a3, b2 = await steps.keyed(conn, ["a", "a", "b", "a", "b"])
    first = await steps.claim_limited(conn)
    assert first.ids == [a1, b1]
    assert await claim(conn) == []
    await steps.finish(conn, first.jobs[0], shut=False)
    assert await claim(conn) == [a2]
    await steps.finish(conn, first.jobs[1], shut=True)
    assert await claim(conn) == [b2]
    assert await verbs.state(conn, a3) == "blocked"


async def test_a_key_spans_queues_and_priorities(conn: Any) -> None:
    """A key is one key in every queue and priority of its entrypoint, also within one claim; the
    same key of another entrypoint is another one."""
    ids = await verbs.queries(conn).enqueue(
        ["work"] * 3 + ["other"], priorities=[5, 1, 5, 5], queues=["default", "default", "mail", "mail"],
        concurrency_keys="k",
    )  # fmt: skip
    assert sorted(await claim(conn)) == [ids[1], ids[3]]
    assert await claim(conn) == []


async def test_a_limit_counts_per_key(conn: Any) -> None:
    """With a limit of n on the entrypoint, n jobs of each key run at a time."""
    await steps.limit(conn, concurrency=2)
    ids = await steps.keyed(conn, ["a", "a", "a", "b", "b", "b"])
    assert await claim(conn) == [*ids[0:2], *ids[3:5]]


async def test_a_claim_of_one_keeps_the_order(conn: Any) -> None:
    """A worker with one free slot parks nobody whose elder it did not take: order holds for every
    key, also after a sweep."""
    ids = await steps.keyed(conn, [key for key in "abcdefgh" for _ in range(3)])
    order: list[int] = []
    for _ in range(200):
        claimed = await steps.claim_limited(conn, 1)
        order += claimed.ids
        await steps.sweep(conn)
        for job in claimed.jobs:
            await steps.finish(conn, job)
        if len(order) == len(ids):
            break
    by_key = [[job for job in order if job in ids[n : n + 3]] for n in range(0, 24, 3)]
    assert by_key == [ids[n : n + 3] for n in range(0, 24, 3)]


@pytest.mark.parametrize("outcome", ["retry", "snooze", "interrupted"])
async def test_a_key_stays_with_its_job(conn: Any, outcome: str) -> None:
    """A job that comes back keeps its key: the next one starts only when it has ended."""
    first, second = await steps.keyed(conn, ["k", "k"])
    (taken,) = (await steps.claim_limited(conn)).jobs
    await steps.finish(conn, taken, outcome)
    (taken,) = (await steps.claim_limited(conn)).jobs
    assert (taken.job_id, taken.attempt) == (first, 2)
    await steps.finish(conn, taken, outcome, delay=3600.0)
    assert await claim(conn) == []
    await conn.execute("UPDATE pgq_deferred SET run_at = now()")
    await verbs.look(conn)
    (taken,) = (await steps.claim_limited(conn)).jobs
    assert (taken.job_id, taken.attempt) == (first, 3)
    await steps.finish(conn, taken)
    assert await claim(conn) == [second]


async def test_a_key_stays_over_a_crash(conn: Any) -> None:
    """A keyed job whose worker dies runs again before the next of its key, also when it is a
    suspect by then."""
    first, second = await steps.keyed(conn, ["k", "k"])
    for _ in range(2):
        worker = await verbs.register(conn)
        (taken,) = (await steps.claim_limited(conn, worker=worker)).jobs
        assert taken.job_id == first
        assert await verbs.crashed(conn, taken, worker) == "lost"
    assert await claim(conn) == []
    (taken,) = (await verbs.claim(conn, of=[await verbs.lane(conn, kind="alone")])).jobs
    await steps.finish(conn, taken)
    assert await claim(conn) == [second]


async def test_failing_hands_over(conn: Any) -> None:
    """A job that failed for good hands its key to the next, in the same transaction."""
    first, second = await steps.keyed(conn, ["k", "k"])
    worker = await verbs.register(conn)
    (taken,) = (await steps.claim_limited(conn, worker=worker, cap=1)).jobs
    assert await verbs.crashed(conn, taken, worker) == "failed"
    assert await steps.holders(conn) == {"key:k": [second]}
    assert await verbs.states(conn) == {first: "failed", second: "ready"}


async def test_a_better_priority_first(conn: Any) -> None:
    """Among jobs that may start, the better priority starts first, handed ones before others."""
    low = await steps.keyed(conn, ["a", "a", "b"], priorities=9)
    high = await steps.keyed(conn, ["c", "c", "d"], priorities=1)
    claimed = await steps.claim_limited(conn)
    assert claimed.ids == [high[0], high[2], low[0], low[2]]
    for job in claimed.jobs:
        await steps.finish(conn, job, shut=False)
    await steps.keyed(conn, ["e"], priorities=1)
    assert await claim(conn, 1) == [high[1]]


# -- parking and handing over -----------------------------------------------------------------------


async def test_hand_over_while_parking(conn: Any, connect: Connect) -> None:
    """A holder ends while another claimer parks jobs behind it: whoever is second waits or comes
    back, and no job stays behind a free key."""
    first, second = await steps.keyed(conn, ["k", "k"])
    (taken,) = (await steps.claim_limited(conn, 1)).jobs
    third = (await steps.keyed(conn, ["k"]))[0]
    other, observer = await connect(), await connect()
    async with verbs.held(other):
        assert await claim(other) == []  # parks them
        async with verbs.waiting(observer, conn, steps.finish(conn, taken)):
            await other.execute(KEEP)
    assert await steps.holders(conn) == {"key:k": [second]}
    assert await drain(conn) == [second, third]


async def test_parking_while_handing_over(conn: Any, connect: Connect) -> None:
    """The other way round: while a holder's end is not committed, a claimer parks nobody."""
    first, second = await steps.keyed(conn, ["k", "k"])
    (taken,) = (await steps.claim_limited(conn, 1)).jobs
    other = await connect()
    await verbs.impatient(other)
    async with verbs.held(conn):
        await steps.finish(conn, taken)
        refused = await steps.claim_limited(other)
        assert (refused.ids, refused.status["busy"]) == ([], True)
    assert await drain(other) == [second]


async def test_finishes_in_opposite_order(conn: Any, connect: Connect) -> None:
    """Two flushes that end jobs of the same entrypoints in opposite order do not deadlock."""
    other, observer = await connect(), await connect()
    for name in ("one", "two"):
        await steps.keyed(conn, ["k", "l", "k", "l"], name)
    one = (await steps.claim_limited(conn, 4, worker=1)).jobs
    mine, yours = [one[0], one[2]], [one[3], one[1]]
    async with verbs.held(conn):
        await steps.finish(conn, mine, shut=False)
        async with verbs.waiting(observer, other, steps.finish(other, yours, shut=False)):
            await conn.execute(KEEP)
    assert len(await claim(conn)) == 4


@pytest.mark.parametrize("who", ["holder", "handed", "parked"])
async def test_cancelling(conn: Any, who: str) -> None:
    """Cancelling a job that waits at a key lets the others go on in order; its place is handed over
    by the next claim or sweep."""
    ids = await steps.keyed(conn, ["k"] * 4)
    (taken,) = (await steps.claim_limited(conn)).jobs
    if who == "parked":
        await verbs.queries(conn).cancel([ids[2]])
        await steps.finish(conn, taken)
        assert await drain(conn) == [ids[1], ids[3]]
        return
    await steps.finish(conn, taken, "retry" if who == "holder" else "succeeded")
    victim = ids[0] if who == "holder" else ids[1]
    assert await verbs.queries(conn).cancel([victim]) == {victim: "cancelled"}
    await steps.sweep(conn)
    assert await drain(conn) == [job for job in ids[1:] if job != victim]


async def test_a_newcomer_does_not_overtake(conn: Any) -> None:
    """A key freed without a hand-over goes to those parked for it, not to a job enqueued later."""
    ids = await steps.keyed(conn, ["k"] * 3)
    (taken,) = (await steps.claim_limited(conn)).jobs
    await steps.finish(conn, taken, "retry")
    await verbs.queries(conn).cancel([ids[0]])  # the key is free, two are parked
    (newcomer,) = await steps.keyed(conn, ["k"])
    assert await drain(conn) == [ids[1], ids[2], newcomer]


async def test_a_lane_directory_of_its_own(conn: Any) -> None:
    """A job handed its place waits in a lane of the kind `next`, and keeps attempt and priority."""
    await steps.keyed(conn, ["k", "k"], priorities=3)
    (taken,) = (await steps.claim_limited(conn)).jobs
    await steps.finish(conn, taken)
    lane = await conn.fetchrow(
        "SELECT l.kind, l.priority, r.attempt FROM pgq_ready AS r JOIN pgq_lanes AS l USING (lane_id)"
    )
    assert tuple(lane) == ("next", 3, 0)


async def test_stale_places_are_tidied(conn: Any) -> None:
    """A place of a job that has ended or is gone, left behind by whatever accident, is tidied."""
    job = await verbs.worked(conn, entrypoint="other")
    await steps.keyed(conn, ["k", "k"])
    (taken,) = (await steps.claim_limited(conn)).jobs
    await conn.execute(
        "INSERT INTO pgq_holders VALUES ($1, 'other', 'limit'), (99, 'x', 'limit')", job
    )
    await verbs.call(conn, "tidy")
    assert await steps.holders(conn) == {"key:k": [taken.job_id]}


# -- cost -----------------------------------------------------------------------------------------


async def buffers(on: Any, entrypoint: str, count: int = 1) -> int:
    """The blocks that a claim of one entrypoint's jobs touches, rolled back."""
    lanes = await on.fetch(
        "SELECT lane_id, kind FROM pgq_lanes WHERE entrypoint = $1 ORDER BY kind <> 'next'",
        entrypoint,
    )
    async with verbs.held(on, end=UNDO):
        return await verbs.buffers(
            on, "claim_limited", worker=1, token=1, count=count,
            lanes=[row["lane_id"] for row in lanes], floors=[0] * len(lanes), kinds=[row["kind"] for row in lanes],
            entrypoints=[entrypoint] * len(lanes), caps=[5] * len(lanes),
        )  # fmt: skip


async def test_a_busy_key_at_the_head(conn: Any) -> None:
    """100,000 jobs of one busy key at the head are moved aside once, in bounded steps; then a claim
    of another key, and an ordinary claim, touch no more blocks than without them."""
    await steps.keyed(conn, ["quiet"])
    await verbs.enqueue(conn, "plain")
    alone, plain = await buffers(conn, "work"), await verbs.claim_buffers(conn, 1)
    await conn.execute("DELETE FROM pgq_ready")
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, concurrency_key) "
        "SELECT 'work', 'busy' FROM generate_series(1, 100000)"
    )
    (quiet,) = await steps.keyed(conn, ["quiet"])
    found: list[int] = []
    rounds = 0
    while quiet not in found:
        claimed = await steps.claim_limited(conn, entrypoint="work")
        assert claimed.jobs or claimed.status["more"]
        found += claimed.ids
        rounds += 1
    assert len(found) == 2
    assert rounds <= 75
    await verbs.enqueue(conn, "plain")
    assert await verbs.count(conn, "pgq_blocked") == 99_999
    await steps.keyed(conn, ["other"])
    await conn.execute("VACUUM ANALYZE pgq_ready, pgq_blocked, pgq_jobs, pgq_holders")
    assert await buffers(conn, "work") <= 1.5 * alone + 10
    assert await verbs.claim_buffers(conn, 1, lanes=[await verbs.lane(conn, "plain")]) <= plain + 10
    (row,) = await verbs.call(conn, "sweep", place=None, apart=0)
    assert row["moved"] == 0
