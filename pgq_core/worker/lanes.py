"""Where to look for jobs: the lanes a worker serves, and how far each is known to be empty.

Everything here is an optimisation kept in memory. `mark`: everything up to there has been taken or
was not there when we looked. `floor`: nothing up to there can ever appear again. A claim starts a
short window below the mark; what lies between the floor and that window (jobs whose transaction
drew a position early and committed late) is found by sweeps. Why this is sound, and which simpler
forms lose jobs, stands in docs/adr/0003-marks-and-floors.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

from pgq_core.worker.lane import END, Lane, Stretch, rank, rotate
from pgq_core.worker.settling import Settling

STRIDE = 4096  # positions an untouched lane may fall behind before its mark follows
LAG = 1024  # positions the floor of a limited lane may stay behind
SLICE = 20_000  # positions one sweep walks in one lane
PROBES = 64  # lanes last seen empty that one claim looks into


class Lanes:
    """The directory of served lanes, and the plan for the next claim."""

    def __init__(self) -> None:
        self.by_id: dict[int, Lane] = {}
        self.settling = Settling()
        self.last = 0
        self.version = ""
        self._skipping: set[str | None] = set()  # the queues whose last plan left lanes out
        self._order: list[Lane] = []
        self._turns: Counter[str | None] = Counter()
        self._probe = 0
        self._sweep = 0
        self._floor_turn = 0
        self._below = 0
        self._named: set[int] = set()
        self._rules: set[tuple[str, str]] = set()

    def learn_directory(self, rows: Iterable[Any], limited: Container[str] = ()) -> None:
        """Take in lanes read from the database; known ones keep their marks.

        `limited`: entrypoints under a limit. Their lanes, and those of keyed jobs, are claimed
        separately.
        """
        for row in rows:
            if row["lane_id"] not in self.by_id:
                lane = Lane(
                    row["lane_id"], row["queue"], row["entrypoint"], row["priority"], row["kind"]
                )
                lane.limited = lane.kind in ("keyed", "next") or lane.entrypoint in limited
                lane.paused = self._is_paused(lane)
                self.by_id[lane.id] = lane
        ordinary = [
            lane
            for lane in self.by_id.values()
            if lane.kind in ("again", "plain") and not lane.limited
        ]
        self._order = sorted(ordinary, key=rank)

    def limited_plan(self) -> list[Lane]:
        """The limited and keyed lanes by priority; of one priority those handed their place first,
        apart from that in any order."""
        lanes = self.limited_lanes()
        random.shuffle(lanes)
        return sorted(lanes, key=lambda lane: (lane.priority, lane.kind != "next"))

    def limited_lanes(self) -> list[Lane]:
        """The limited and keyed lanes that are not paused."""
        return [
            lane
            for lane in self.by_id.values()
            if lane.limited and lane.kind != "alone" and not lane.paused
        ]

    def best(self, queue: str | None = None) -> int | None:
        """The best priority of the ordinary lanes, of one queue or all, that seem to have jobs."""
        return next(
            (
                lane.priority
                for lane in self._order
                if not lane.paused and not lane.empty and queue in (None, lane.queue)
            ),
            None,
        )

    def of_kind(self, kind: str) -> list[Lane]:
        """The lanes of one kind, best priority first."""
        found = [lane for lane in self.by_id.values() if lane.kind == kind and not lane.paused]
        return sorted(found, key=lambda lane: lane.priority)

    def pause(self, rules: Sequence[Sequence[str]]) -> bool:
        """Apply the pause flags: (queue, entrypoint or '') pairs. Says whether they changed."""
        before, self._rules = self._rules, {(rule[0], rule[1]) for rule in rules}
        for lane in self.by_id.values():
            lane.paused = self._is_paused(lane)
        return self._rules != before

    def _is_paused(self, lane: Lane) -> bool:
        names = {(lane.queue, ""), (lane.queue, lane.entrypoint), ("", lane.entrypoint)}
        return not self._rules.isdisjoint(names)

    def name(self, lane_id: int) -> bool:
        """Look into this lane next, whatever was seen; False when it is not ours."""
        if lane_id in self.by_id:
            self._named.add(lane_id)
        return lane_id in self.by_id

    def name_all(self) -> None:
        """Look into every lane again."""
        for lane in self._order:
            lane.empty = False

    def forget(self) -> None:
        """Drop every mark and floor: the connection, the epoch or a fence broke."""
        self.settling = Settling()
        self.last = 0
        for lane in self.by_id.values():
            lane.mark = lane.floor = lane.cursor = 0
            lane.empty = False

    def plan(self, queue: str | None = None, upside_down: bool = False) -> list[Stretch]:
        """The stretches of the next claim: by priority, equals in rotation, empties in turn.

        Of one `queue`, or of all. `upside_down`: low priorities first, for once.
        """
        self._turns[queue] += 1
        self._skipping.discard(queue)
        lanes = [lane for lane in self._order if not lane.paused and queue in (None, lane.queue)]
        empty = [lane for lane in lanes if lane.empty and lane.id not in self._named]
        if len(empty) > PROBES:
            self._skipping.add(queue)
            first = self._probe % len(empty)
            self._probe = first + PROBES
            skipped = {lane.id for lane in (empty + empty)[first + PROBES : first + len(empty)]}
            lanes = [lane for lane in lanes if lane.id not in skipped]
        self._named.difference_update([lane.id for lane in lanes])
        ordered = rotate(lanes, self._turns[queue])
        return [
            Stretch(lane, lane.start, END) for lane in (ordered[::-1] if upside_down else ordered)
        ]

    def sweep_plan(self) -> list[Stretch]:
        """Slices between floor and window, of at most PROBES lanes in turn."""
        lanes = [lane for lane in self._order if lane.unswept and not lane.paused]
        if len(lanes) > PROBES:
            first = self._sweep % len(lanes)
            self._sweep = first + PROBES
            lanes = (lanes + lanes)[first : first + PROBES]
        stretches = []
        for lane in lanes:
            top = lane.window
            start = lane.cursor if lane.floor < lane.cursor < top else lane.floor
            stretches.append(Stretch(lane, start, min(top, start + SLICE)))
        return stretches

    def left_out(self) -> list[Stretch]:
        """What a claim may have left to sweeps, or to the claims that come after it."""
        lanes = [lane for lane in self._order if not lane.paused]
        if len(lanes) <= PROBES:
            lanes = [lane for lane in lanes if lane.unswept]
        return [Stretch(lane, lane.floor, END) for lane in lanes]

    def below_floors(self) -> list[Stretch]:
        """What should be empty for ever: every floored lane from its start, PROBES in turn."""
        lanes = [lane for lane in self._order if lane.floor > 0 and not lane.paused]
        first = self._below % max(1, len(lanes))
        self._below = first + PROBES
        turn = (lanes + lanes)[first : first + min(PROBES, len(lanes))]
        return [Stretch(lane, 0, lane.floor) for lane in turn]

    def lower_limited_floors(self) -> None:
        """The same for limited lanes: their next claims begin at the beginning once more."""
        for lane in self.limited_lanes():
            lane.mark = lane.floor = 0

    def floors_plan(self) -> list[Lane]:
        """The lanes whose floor should move: at most 16, in turn."""
        if self.settling.oldest() is None:
            return []
        lanes = [lane for lane in self._order if lane.mark > lane.floor] + self._behind()
        if len(lanes) > 16:
            first = self._floor_turn % len(lanes)
            self._floor_turn = first + 16
            lanes = (lanes + lanes)[first : first + 16]
        return lanes

    def _behind(self) -> list[Lane]:
        """Limited lanes, which have floors and no marks, whose floor is far behind."""
        return [lane for lane in self.limited_lanes() if self.last - lane.floor > LAG]

    @property
    def skipping(self) -> bool:
        """Whether the last claims left lanes out."""
        return bool(self._skipping)

    @property
    def lagging(self) -> bool:
        """Whether a floor of a limited lane should move."""
        return bool(self._behind())

    @property
    def unswept(self) -> bool:
        """Whether sweeps have anything to do."""
        return any(lane.unswept for lane in self._order)

    def learn_claim(
        self, plan: Sequence[Stretch], taken: dict[int, int], full: bool, last: int
    ) -> None:
        """Move marks after a claim: `taken` is the highest position per lane that had jobs."""
        # A lane may stand here twice: its late part comes last, and tells nothing of the others.
        reached = max(
            (i for i, (lane, _, end) in enumerate(plan) if end == END and lane.id in taken),
            default=-1,
        )
        for i, (lane, _, end) in enumerate(plan):
            top = taken.get(lane.id)
            exhausted = not full or i < reached
            if end != END:
                lane.cursor = end if exhausted else lane.cursor
                continue
            if top is not None:
                lane.mark = max(lane.mark, top)
            if exhausted:
                lane.empty = top is None
                if top is not None or last - lane.mark > STRIDE:
                    lane.mark = max(lane.mark, last)
            elif i <= reached:
                lane.empty = False

    def learn_floors(self, pair: tuple[int, int], floors: dict[str, int]) -> None:
        """Move floors: `floors` was read in a snapshot in which the pair had settled."""
        self.settling.settled(pair)
        for lane_id, floor in floors.items():
            lane = self.by_id[int(lane_id)]
            lane.floor = max(lane.floor, floor)
            lane.mark = max(lane.mark, lane.floor)
