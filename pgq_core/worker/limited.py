"""Lanes under limits and keys: which of them to ask for jobs, and when."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from pgq_core.worker.lane import Lane
from pgq_core.worker.lanes import Lanes

BUSY = 0.003  # another claimer is at an entrypoint: ask again this many seconds later


class Limited:
    """A lane that gave less than there was room for is asked again when its rate allows, or when
    something has changed: a look, a wake-up or an outcome says so."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._due: dict[int, float] = {}  # absent: ask now
        self.changes = 0

    def soon(self) -> None:
        """Something has changed: ask all."""
        self._due.clear()
        self.changes += 1

    @property
    def next_at(self) -> float:
        """When to ask next, whichever lane."""
        lanes = self.lanes.limited_lanes()
        return min((self._due.get(lane.id, 0.0) for lane in lanes), default=math.inf)

    def plan(self, now: float, queue: str | None = None) -> list[Lane]:
        """The lanes to ask now, of one queue or of all."""
        return [
            lane
            for lane in self.lanes.limited_plan()
            if queue in (None, lane.queue) and self._due.get(lane.id, 0.0) <= now
        ]

    def ahead(self, now: float, queue: str | None = None, upside_down: bool = False) -> list[Lane]:
        """Those whose turn is before the ordinary lanes that have jobs: of a better priority, and
        every other time also of the same."""
        best = self.lanes.best(queue)
        if best is None:
            return self.plan(now, queue)
        equals = random.random() < 0.5
        return [
            lane
            for lane in self.plan(now, queue)
            if (lane.priority > best if upside_down else lane.priority < best)
            or (lane.priority == best and equals)
        ]

    def asked(
        self,
        lanes: list[Lane],
        got: int,
        room: int,
        status: Mapping[str, Any],
        now: float,
        changes: int,
    ) -> None:
        """Note what these lanes gave, unless something has changed since (`changes`)."""
        if got >= room or status["more"] or changes != self.changes:
            return
        waits = [BUSY] if status["busy"] else []
        waits += [] if status["wait"] is None else [status["wait"]]
        for lane in lanes:
            self._due[lane.id] = now + min(waits, default=math.inf)
