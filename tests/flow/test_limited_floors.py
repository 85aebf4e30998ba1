"""Jobs under limits and keys while somebody holds a snapshot: what is gone is not read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.worker.lanes import LAG
from tests.flow import steps
from tests.sql import verbs
from tests.sql.hands import Hand
from tests.worker.harness import asleep, finished, working

Connect = Callable[..., Awaitable[Any]]
STARTED = 12_000


class LimitedHand(Hand):
    """A claimer of jobs under limits and keys, which learns floors in its looks."""

    async def begin(self, *limited: str) -> None:
        """Which lanes there are, and which of them are limited."""
        names = ["work", "other"]
        rows = await verbs.call(self.on, "lanes", entrypoints=names)
        self.lanes.learn_directory(rows, limited)

    async def take(self, count: int) -> list[int]:
        """One claim under limits; the ids it took, finished."""
        runs, _ = await self.claimer.claim_limited(count)
        found = self._took(runs)
        await self.finish(limited=True)
        return found

    async def cost(self, count: int, *, floors: bool = True) -> int:
        """The blocks that the next such claim would touch, with what it has learnt or without."""
        lanes = self.lanes.limited_plan()
        async with verbs.held(self.on, end=verbs.UNDO):
            return await verbs.buffers(
                self.on, "claim_limited", worker=1, token=1, count=count,
                lanes=[lane.id for lane in lanes], floors=[lane.floor * floors for lane in lanes],
                kinds=[lane.kind for lane in lanes],
                entrypoints=[lane.entrypoint for lane in lanes], caps=[5] * len(lanes),
            )  # fmt: skip


async def enqueue(on: Any, count: int, key: str | None) -> None:
    """So many jobs, of one key or none."""
    await on.execute(
        "INSERT INTO pgq_jobs (entrypoint, concurrency_key) "
        "SELECT 'work', $1 FROM generate_series(1, $2::int)",
        key, count,
    )  # fmt: skip


@pytest.mark.parametrize("key", [None, "k"], ids=["limit", "key"])
async def test_a_held_snapshot_does_not_slow_limited_claims(
    conn: Any, connect: Connect, key: str | None
) -> None:
    """With a snapshot held by a reader, a claim under a limit does not read again what 12,000 jobs
    left in its lane; what remains is the count of places, which is a third of it."""
    await steps.limit(conn, "work", concurrency=5000)
    await enqueue(conn, STARTED + 1000, key)
    hand = LimitedHand(conn)
    await hand.begin("work")
    reader = await connect()
    async with verbs.held(reader, "REPEATABLE READ"):
        await reader.fetchval("SELECT count(*) FROM pgq_jobs")
        await hand.take(100)
        few = await hand.cost(10)
        for _ in range(STARTED // 500):
            assert len(await hand.take(500)) == 500
            await hand.look()
        many, blind = await hand.cost(10), await hand.cost(10, floors=False)
    assert many - few < (blind - few) / 2, f"{few} blocks at first, {many} later, {blind} blindly"
    assert len(await hand.take(500)) == 500


async def test_what_commits_late_is_found(conn: Any, connect: Connect) -> None:
    """A job under a limit whose transaction stays open while thousands pass it starts as soon as it
    commits: a floor never moves over somebody who may still come."""
    await steps.limit(conn, "work", concurrency=5000)
    await enqueue(conn, 10, None)
    hand = LimitedHand(conn)
    await hand.begin("work")
    late = await connect()
    async with verbs.held(late):
        (id_,) = await verbs.enqueue(late)
        await enqueue(conn, STARTED, None)
        while len(await hand.take(500)):
            await hand.look()
        for _ in range(5):
            await hand.look()
    assert await hand.take(10) == [id_]


async def test_floors_follow_an_empty_lane(conn: Any) -> None:
    """A limited lane in which nothing happens follows the others; then nobody asks for more."""
    await steps.limit(conn, "work", concurrency=5000)
    await enqueue(conn, 10, None)
    await verbs.insert(conn, "other", STARTED)
    hand = LimitedHand(conn)
    await hand.begin("work")
    (lane,) = hand.lanes.limited_lanes()
    assert len(await hand.take(50)) == 10
    await hand.look()
    assert hand.lanes.lagging
    for _ in range(3):
        await hand.look()
    assert lane.floor > LAG
    assert not hand.lanes.lagging


@pytest.mark.parametrize("limit", [None, 5], ids=["ordinary", "limited"])
async def test_a_job_below_a_floor_runs_all_the_same(
    pgq: PgQueuer, conn: Any, limit: int | None
) -> None:
    """A floor that were wrong would hide a job for a minute or so, not for ever."""

    @pgq.entrypoint("work", concurrency_limit=limit)
    async def work(job: Job) -> None:
        pass

    async with working(pgq) as worker:
        await finished(conn, await pgq.enqueue("work"))
        (lane,) = worker.lanes.by_id.values()
        lane.mark = lane.floor = 10**9
        hidden = await pgq.enqueue("work")
        await asleep(worker, 0.3)
        assert await verbs.state(conn, hidden) == "ready"
        worker.claims._resort_at = 0.0
        worker.look_now()
        assert await finished(conn, hidden) == ["succeeded"]
