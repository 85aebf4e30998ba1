"""One lane as a worker remembers it, the stretch that a claim scans, its turn among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

END = 2**63 - 1
WINDOW = 256  # positions below the mark that every claim scans again


@dataclass(slots=True)
class Lane:
    """One (queue, entrypoint, priority) with what we know of it."""

    id: int
    queue: str
    entrypoint: str
    priority: int
    kind: str = "plain"
    mark: int = 0
    floor: int = 0
    cursor: int = 0
    empty: bool = False
    paused: bool = False
    limited: bool = False

    @property
    def window(self) -> int:
        """Where the window below the mark begins: behind this position."""
        return self.mark - WINDOW

    @property
    def start(self) -> int:
        """Where a claim begins: behind this position."""
        return max(self.floor, self.window)

    @property
    def unswept(self) -> bool:
        """Whether something may lie between the floor and the window."""
        return self.window > self.floor


class Stretch(NamedTuple):
    """A part of a lane that a claim scans: behind `start`, up to `end`."""

    lane: Lane
    start: int
    end: int


def rank(lane: Lane) -> tuple[int, bool]:
    """By priority; within one, jobs that had started and were interrupted or lost come first."""
    return lane.priority, lane.kind != "again"


def rotate(lanes: Sequence[Lane], turn: int) -> list[Lane]:
    """Lanes by rank; within one rank the list begins elsewhere each turn."""
    ordered: list[Lane] = []
    group: list[Lane] = []
    for lane in [*lanes, None]:
        if group and (lane is None or rank(lane) != rank(group[0])):
            cut = turn % len(group)
            ordered += group[cut:] + group[:cut]
            group = []
        if lane is not None:
            group.append(lane)
    return ordered
