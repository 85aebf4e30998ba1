"""Marks and floors: what is behind a claimer's mark is found all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgq_core.worker.lane import WINDOW
from tests.sql import verbs
from tests.sql.hands import Hand, hand
from tests.sql.verbs import KEEP, UNDO

Connect = Callable[..., Awaitable[Any]]
MANY = WINDOW + 100


async def first_position(on: Any) -> int:
    return int(await on.fetchval("SELECT min(position) FROM pgq_ready"))


async def pass_by(on: Any, hand: Hand, count: int = MANY) -> None:
    """So many jobs come in and are taken: the mark moves past them."""
    await verbs.insert(on, count=count)
    assert len(await hand.claim(count)) == count


async def settle(hand: Hand, rounds: int = 10) -> None:
    """Give floors every chance to move."""
    for _ in range(rounds):
        await hand.look(from_the_floor=True)


# -- the mark ---------------------------------------------------------------------------------


async def test_the_mark_follows(conn: Any) -> None:
    """After a claim the next one starts a short window below what was taken."""
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await pass_by(conn, mine)
    lane = mine.only_lane()
    assert lane.mark >= MANY
    assert lane.start == lane.mark - WINDOW


async def test_equal_priorities_take_turns(conn: Any) -> None:
    """Lanes of one priority are served in turn: a full one does not starve the others."""
    for name in ("one", "two", "three"):
        await verbs.insert(conn, name, 50)
    mine = await hand(conn)
    for _ in range(6):
        await mine.claim(10)
    names = [run.job.entrypoint for run in mine.found]
    assert {name: names.count(name) for name in names} == {"one": 20, "two": 20, "three": 20}


async def test_a_late_commit_in_the_window(conn: Any, connect: Connect) -> None:
    """A job that commits a little late, its position below the mark, is found by the next claim."""
    late = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await mine.claim()
    async with verbs.held(late):
        (job,) = await verbs.enqueue(late)
        await pass_by(conn, mine, WINDOW - 10)
        assert await mine.claim() == []
    assert await mine.claim() == [job]


async def test_a_late_commit_beyond_the_window(conn: Any, connect: Connect) -> None:
    """A job that commits so late that the window has passed it is found by the next sweep."""
    late = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await mine.claim()
    async with verbs.held(late):
        (job,) = await verbs.enqueue(late)
        await pass_by(conn, mine)
        assert await mine.claim() == []
        assert await mine.sweep() == []
    assert await mine.claim() == []
    assert await mine.sweep() == [job]


async def test_a_claim_rolled_back_behind_the_mark(conn: Any, connect: Connect) -> None:
    """Jobs of a claimer that rolled back are found by another whose mark lies beyond them."""
    other = await connect()
    ids = await verbs.enqueue(conn, count=5)
    mine, yours = await hand(conn), await hand(other, 2)
    async with verbs.held(other, end=UNDO):
        assert await yours.claim() == ids
        await pass_by(conn, mine)
        await settle(mine)
        assert mine.only_lane().floor < await first_position(conn)
    assert await mine.sweep() == ids


async def test_an_empty_lane_is_found_when_named(conn: Any) -> None:
    """A lane that was seen empty is looked into at once when a wake-up names it."""
    for i in range(150):
        await verbs.enqueue(conn, f"name{i:03}")
    mine = await hand(conn)
    assert len(await mine.claim(200)) == 150
    await mine.claim()
    assert len(mine.lanes.plan()) == 64
    lane = await verbs.lane(conn, "name149")
    (job,) = await verbs.enqueue(conn, "name149")
    assert mine.lanes.name(lane)
    assert await mine.claim() == [job]


async def test_an_empty_lane_is_found_in_turn(conn: Any) -> None:
    """Without a wake-up, lanes seen empty are looked into 64 per claim, in turn."""
    for i in range(150):
        await verbs.enqueue(conn, f"name{i:03}")
    mine = await hand(conn)
    await mine.claim(200)
    (job,) = await verbs.enqueue(conn, "name077")
    assert [found for _ in range(4) for found in await mine.claim()] == [job]


# -- the floor --------------------------------------------------------------------------------


async def test_the_floor_follows(conn: Any) -> None:
    """When nothing is open the floor comes up to the mark, and there is nothing to sweep."""
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await pass_by(conn, mine)
    await settle(mine)
    assert mine.only_lane().floor >= MANY
    assert mine.lanes.sweep_plan() == []


async def test_a_reader_does_not_hold_the_floor(conn: Any, connect: Connect) -> None:
    """An old snapshot of a reader, pg_dump's for instance, does not hold the floor back."""
    reader = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    async with verbs.held(reader, "REPEATABLE READ"):
        await reader.fetchval("SELECT count(*) FROM pgq_jobs")
        await pass_by(conn, mine)
        await settle(mine)
        assert mine.only_lane().floor >= MANY


@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_never_past_an_uncommitted_job(conn: Any, connect: Connect, end: str) -> None:
    """The floor waits for every transaction that may still bring an earlier position."""
    late = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    async with verbs.held(late, end=end):
        (job,) = await verbs.enqueue(late)
        position = await first_position(late)
        for _ in range(3):
            await pass_by(conn, mine)
            await settle(mine)
        assert mine.only_lane().floor < position
    assert await mine.everything() == ([job] if end == KEEP else [])
    await settle(mine)
    assert mine.only_lane().floor >= 3 * MANY


async def test_never_past_a_job_others_are_claiming(conn: Any, connect: Connect) -> None:
    """The floor stops before a row another claimer holds, settled or not: it may come back."""
    other = await connect()
    (job,) = await verbs.enqueue(conn)
    mine, yours = await hand(conn), await hand(other, 2)
    position = await first_position(conn)
    async with verbs.held(other, end=UNDO):
        assert await yours.claim(1) == [job]
        for _ in range(3):
            await pass_by(conn, mine)
            await settle(mine)
        assert mine.only_lane().floor < position
    await settle(mine)
    assert mine.only_lane().floor < position
    assert await mine.sweep() == [job]
    await settle(mine)
    assert mine.only_lane().floor >= 3 * MANY


async def test_never_past_a_savepoints_job(conn: Any, connect: Connect) -> None:
    """A position drawn inside a savepoint holds the floor like any other."""
    late = await connect()
    await verbs.enqueue(conn)
    mine = await hand(conn)
    async with verbs.held(late):
        await late.execute("SAVEPOINT here")
        (job,) = await verbs.enqueue(late)
        position = await first_position(late)
        await late.execute("RELEASE SAVEPOINT here")
        await pass_by(conn, mine)
        await settle(mine)
        assert mine.only_lane().floor < position
    assert await mine.everything() == [job]


@pytest.mark.parametrize("how", ["retry", "rescue", "put back", "promote"])
async def test_whatever_writes_pointers_holds_the_floor(
    conn: Any, connect: Connect, how: str
) -> None:
    """Retry, rescue, promotion and redrive have their transaction's id before they draw."""
    late = await connect()
    await verbs.look(conn)  # begins the epoch
    (job,) = await verbs.enqueue(conn)
    mine, yours = await hand(conn), await hand(late, 2)
    assert await yours.claim() == [job]
    if how == "put back":
        await yours.finish("failed")
    elif how == "promote":
        await yours.finish("retry", delay=60.0)
        await conn.execute("UPDATE pgq_deferred SET run_at = now() - interval '1 minute'")
    async with verbs.held(late):
        if how == "retry":
            await yours.finish("retry")
        elif how == "rescue":
            await verbs.rescue(late, 2)
        elif how == "put back":
            await verbs.retry(late, job)
        else:
            assert (await verbs.look(late))["promoted"] == 1
        position = await first_position(late)
        await pass_by(conn, mine)
        await settle(mine)
        assert mine.only_lane().floor < position
    assert await mine.everything() == [job]


async def test_a_sequence_gone_back(conn: Any) -> None:
    """When positions begin again lower, after a crash or a restore, every mark is forgotten."""
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await pass_by(conn, mine)
    await settle(mine)
    await pass_by(conn, mine)
    await conn.execute("SELECT setval('pgq_positions', 5)")
    (job,) = await verbs.enqueue(conn)
    assert job in await mine.claim() + await mine.claim()
    assert mine.only_lane().floor < MANY


async def test_floors_read_before_the_sequence_went_back(conn: Any) -> None:
    """A floor asked for before the sequence went back is forgotten with the marks."""
    await verbs.enqueue(conn)
    mine = await hand(conn)
    await pass_by(conn, mine)
    assert mine.lanes.floors_plan()
    await conn.execute("SELECT setval('pgq_positions', 5)")
    await mine.claim()
    assert mine.only_lane().floor <= 5
    (job,) = await verbs.enqueue(conn)
    assert await mine.claim() == [job]
