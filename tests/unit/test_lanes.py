"""Where a claimer looks next, and what it concludes from what it got."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgq_core.worker.lane import END, WINDOW, Lane, Stretch, rotate
from pgq_core.worker.lanes import PROBES, SLICE, STRIDE, Lanes
from pgq_core.worker.settling import Settling

PRIORITIES = st.lists(st.integers(0, 3), max_size=12)


def lanes_of(priorities: list[int], **fields: Any) -> Lanes:
    """A directory with one lane per priority given; ids from 1."""
    made = Lanes()
    made.learn_directory(
        {"lane_id": i, "queue": "q", "entrypoint": f"e{i}", "priority": p, "kind": "plain"} | fields
        for i, p in enumerate(priorities, 1)
    )
    return made


def ids(plan: list[Stretch]) -> list[int]:
    return [stretch.lane.id for stretch in plan]


# -- order ------------------------------------------------------------------------------------


@given(PRIORITIES, st.integers(0, 100))
def test_rotation_keeps_priorities_apart(priorities: list[int], turn: int) -> None:
    """Rotation changes only the order of equals; every lane stays in exactly once."""
    lanes = lanes_of(sorted(priorities))
    rotated = rotate(lanes.of_kind("plain"), turn)
    assert [lane.priority for lane in rotated] == sorted(priorities)
    assert Counter(lane.id for lane in rotated) == Counter(range(1, len(priorities) + 1))


@given(st.integers(1, 12))
def test_everybody_is_first_in_turn(count: int) -> None:
    """In as many turns as there are equals, each is the first once."""
    lanes = lanes_of([5] * count)
    firsts = {lanes.plan()[0].lane.id for _ in range(count)}
    assert firsts == set(range(1, count + 1))


@given(PRIORITIES)
def test_a_plan_is_ordered_by_priority(priorities: list[int]) -> None:
    """A plan covers every lane to its end, lower numbers first."""
    plan = lanes_of(priorities).plan()
    assert [stretch.lane.priority for stretch in plan] == sorted(priorities)
    assert all((stretch.start, stretch.end) == (0, END) for stretch in plan)


def test_known_lanes_keep_their_marks() -> None:
    """Reading the directory again adds lanes and forgets nothing."""
    lanes = lanes_of([5, 5])
    lanes.by_id[1].mark = 1000
    lanes.learn_directory(
        [{"lane_id": i, "queue": "q", "entrypoint": "e", "priority": 5, "kind": "plain"}
         for i in (1, 2, 3)]
    )  # fmt: skip
    assert lanes.by_id[1].mark == 1000
    assert len(lanes.plan()) == 3


def test_other_kinds_are_not_in_the_plan() -> None:
    """Lanes of suspects are claimed by themselves, never by the ordinary plan."""
    lanes = lanes_of([5, 1], kind="alone")
    assert lanes.plan() == []
    assert [lane.id for lane in lanes.of_kind("alone")] == [2, 1]


@pytest.mark.parametrize("rule", [("q", ""), ("q", "e2")])
def test_paused_lanes_are_left_out(rule: tuple[str, str]) -> None:
    """A paused queue, or entrypoint of it, is neither claimed nor swept until it is resumed."""
    lanes = lanes_of([5, 5])
    for lane in lanes.by_id.values():
        lane.mark = 10 * WINDOW
    left = [] if rule[1] == "" else [1]
    lanes.pause([rule])
    assert ids(lanes.plan()) == left
    assert ids(lanes.sweep_plan()) == left
    lanes.pause([])
    assert sorted(ids(lanes.plan())) == [1, 2]


# -- empty lanes ------------------------------------------------------------------------------


def all_empty(count: int) -> Lanes:
    lanes = lanes_of([5] * count)
    lanes.learn_claim(lanes.plan(), {}, full=False, last=0)
    assert all(lane.empty for lane in lanes.by_id.values())
    return lanes


@given(st.integers(PROBES + 1, 4 * PROBES))
def test_empty_lanes_are_probed_in_turn(count: int) -> None:
    """Of lanes seen empty a claim looks into 64, and within a round into every one."""
    lanes = all_empty(count)
    seen: set[int] = set()
    for _ in range(-(-count // PROBES)):
        plan = lanes.plan()
        assert len(plan) == PROBES
        seen |= set(ids(plan))
    assert seen == set(range(1, count + 1))


def test_a_named_lane_is_probed_at_once() -> None:
    """A lane named by a wake-up is in the next plan, whatever was seen there."""
    lanes = all_empty(4 * PROBES)
    for name in range(1, 4 * PROBES + 1, 37):
        assert lanes.name(name)
        assert name in ids(lanes.plan())
    assert not lanes.name(9999)


def test_a_plan_of_one_queue_forgets_nothing_of_another() -> None:
    """With shares per queue, a lane named in one stays named, and what it left out is remembered,
    while another is claimed."""
    lanes = all_empty(4 * PROBES)
    lanes.learn_directory(
        [{"lane_id": 0, "queue": "other", "entrypoint": "e", "priority": 5, "kind": "plain"}]
    )
    assert 3 * PROBES not in ids(lanes.plan("q"))
    lanes.name(3 * PROBES)
    assert ids(lanes.plan("other")) == [0]
    assert lanes.skipping
    assert 3 * PROBES in ids(lanes.plan("q"))


def test_all_lanes_are_named() -> None:
    """A wake-up without a name makes the next claim look into every lane."""
    lanes = all_empty(4 * PROBES)
    lanes.name_all()
    assert len(lanes.plan()) == 4 * PROBES


def test_full_lanes_are_always_in() -> None:
    """A lane that had jobs is never left out for the sake of empty ones."""
    lanes = all_empty(4 * PROBES)
    plan = [stretch for stretch in lanes.plan() if stretch.lane.id == ids(lanes.plan())[0]]
    busy = plan[0].lane if plan else lanes.by_id[1]
    busy.empty = False
    assert all(busy.id in ids(lanes.plan()) for _ in range(10))


# -- marks ------------------------------------------------------------------------------------


def test_a_lane_read_to_its_end() -> None:
    """After a claim that came back short, a lane that had jobs is known up to the last position."""
    lanes = lanes_of([5, 5])
    lanes.learn_claim(lanes.plan(), {1: 40}, full=False, last=50)
    one, two = lanes.by_id[1], lanes.by_id[2]
    assert (one.mark, one.empty) == (50, False)
    assert (two.mark, two.empty) == (0, True)


def test_a_full_claim() -> None:
    """After a full claim only what lies before the lane it stopped in has been read to its end."""
    lanes = lanes_of([1, 2, 3])
    lanes.learn_claim(lanes.plan(), {2: 30}, full=True, last=50)
    one, two, three = (lanes.by_id[i] for i in (1, 2, 3))
    assert one.empty
    assert (two.mark, two.empty) == (30, False)
    assert (three.mark, three.empty) == (0, False)


def test_an_idle_lanes_mark_follows() -> None:
    """The mark of a lane nobody uses follows once it is far behind, so that floors can."""
    lanes = lanes_of([5])
    lanes.learn_claim(lanes.plan(), {}, full=False, last=STRIDE)
    assert lanes.by_id[1].mark == 0
    lanes.learn_claim(lanes.plan(), {}, full=False, last=STRIDE + 1)
    assert lanes.by_id[1].mark == STRIDE + 1


@given(
    st.lists(
        st.tuples(st.booleans(), st.dictionaries(st.integers(1, 3), st.integers(1, 10_000))),
        max_size=20,
    )
)
def test_a_claim_moves_no_floor(claims: list[tuple[bool, dict[int, int]]]) -> None:
    """Whatever a claim brings, marks only rise and floors stay: only a settled read moves those."""
    lanes = lanes_of([5, 5, 7])
    marks = dict.fromkeys(lanes.by_id, 0)
    for full, taken in claims:
        lanes.learn_claim(lanes.plan(), taken, full, last=max([0, *taken.values()]))
        for lane in lanes.by_id.values():
            assert lane.floor == 0
            assert lane.mark >= marks[lane.id]
            marks[lane.id] = lane.mark


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_claim_begins_a_window_below_the_mark(mark: int, floor: int) -> None:
    """A claim begins at most a window below the mark, and never below the floor."""
    lane = lanes_of([5]).by_id[1]
    lane.mark, lane.floor = max(mark, floor), floor
    assert lane.start == max(floor, lane.mark - WINDOW)
    assert lane.unswept is (lane.start > floor)


def test_forgetting() -> None:
    """After a reconnect or a lost lease nothing is believed any more."""
    lanes = lanes_of([5])
    lanes.learn_claim(lanes.plan(), {1: 1000}, full=False, last=1000)
    lanes.settling.note(1000, 7)
    lanes.learn_floors((1000, 7), {"1": 900})
    lanes.forget()
    lane = lanes.by_id[1]
    assert (lane.mark, lane.floor, lane.cursor, lanes.last) == (0, 0, 0, 0)
    assert lanes.settling.oldest() is None
    assert lanes.plan() == [Stretch(lane, 0, END)]


# -- sweeps -----------------------------------------------------------------------------------


@given(st.integers(0, 10 * SLICE), st.integers(0, 10 * SLICE))
def test_sweeps_cover_everything_between_floor_and_window(floor: int, more: int) -> None:
    """Slice by slice sweeps read all between floor and window, and then begin anew."""
    lanes = lanes_of([5])
    lane = lanes.by_id[1]
    lane.floor, lane.mark = floor, floor + more
    place = floor
    while place < lane.mark - WINDOW:
        plan = lanes.sweep_plan()
        (stretch,) = plan
        assert stretch.start == place
        assert stretch.start < stretch.end <= stretch.start + SLICE
        lanes.learn_claim(plan, {}, full=False, last=lane.mark)
        place = stretch.end
    again = lanes.sweep_plan()
    assert [stretch.start for stretch in again] == [floor] * lane.unswept


def test_a_full_sweep_reads_its_slice_again() -> None:
    """A sweep that brought as many jobs as it may does not move on: there may be more."""
    lanes = lanes_of([5])
    lanes.by_id[1].mark = 10 * SLICE
    plan = lanes.sweep_plan()
    lanes.learn_claim(plan, {1: 50}, full=True, last=10 * SLICE)
    assert lanes.sweep_plan() == plan


def test_a_sweep_moves_no_mark() -> None:
    """What a sweep finds lies below the mark: the mark stays."""
    lanes = lanes_of([5])
    lane = lanes.by_id[1]
    lane.mark, lane.empty = 1000, True
    lanes.learn_claim(lanes.sweep_plan(), {1: 5}, full=False, last=2000)
    assert (lane.mark, lane.empty) == (1000, True)


def test_sweeps_take_turns() -> None:
    """One sweep reads at most 64 lanes, and within a round every one."""
    count = 3 * PROBES
    lanes = lanes_of([5] * count)
    for lane in lanes.by_id.values():
        lane.mark = WINDOW + 1
    seen = set()
    for _ in range(3):
        plan = lanes.sweep_plan()
        assert len(plan) == PROBES
        seen |= set(ids(plan))
    assert len(seen) == count


# -- floors -----------------------------------------------------------------------------------


def test_no_floor_without_a_pair() -> None:
    """Floors are asked for only while a position waits to settle, and where the mark is ahead."""
    lanes = lanes_of([5, 5])
    lanes.by_id[1].mark = 10
    assert lanes.floors_plan() == []
    lanes.settling.note(10, 7)
    assert [lane.id for lane in lanes.floors_plan()] == [1]


def test_floors_take_turns() -> None:
    """One claim asks for at most 16 floors, and within a round for every one."""
    lanes = lanes_of([5] * 40)
    for lane in lanes.by_id.values():
        lane.mark = 10
    lanes.settling.note(10, 7)
    seen = {lane.id for _ in range(3) for lane in lanes.floors_plan()}
    assert len(seen) == 40


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_floors_only_rise(mark: int, floor: int, learnt: int) -> None:
    """A floor never sinks, and a mark is never below its floor."""
    lanes = lanes_of([5])
    lane = lanes.by_id[1]
    lane.floor, lane.mark = floor, max(mark, floor)
    lanes.learn_floors((1000, 7), {"1": learnt})
    assert lane.floor == max(floor, learnt)
    assert lane.mark >= lane.floor


@given(st.lists(st.tuples(st.integers(1, 100), st.none() | st.integers(1, 1000)), max_size=30))
def test_pairs_wait_in_order(notes: list[tuple[int, int | None]]) -> None:
    """At most eight pairs wait to settle; the oldest stays until it has, so that floors do move."""
    settling = Settling()
    for last, xid in sorted(notes, key=lambda note: note[1] or 0):
        before = settling.oldest()
        settling.note(last, xid)
        assert settling.oldest() == (before or ((last, xid) if xid is not None else None))
        assert len(settling.pairs) <= 8
    while (pair := settling.oldest()) is not None:
        settling.settled(pair)
        assert all(other[1] > pair[1] for other in settling.pairs)


def test_a_late_part_tells_nothing_of_other_lanes() -> None:
    """A claim that came back full says nothing about the lanes it did not reach, even when it was
    ready to look for late jobs of the first one too."""
    full, behind = Lane(1, "default", "full", 5), Lane(2, "default", "behind", 9)
    lanes = Lanes()
    plan = [Stretch(full, 0, END), Stretch(behind, 0, END), Stretch(full, 0, 700)]
    lanes.learn_claim(plan, {full.id: 800}, full=True, last=1000)
    assert (full.mark, full.empty) == (800, False)
    assert (behind.mark, behind.empty) == (0, False)
