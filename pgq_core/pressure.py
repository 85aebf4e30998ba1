"""Backpressure: a queue may be only so deep."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

from pgq_core.errors import QueueFull
from pgq_core.models import JobRow

FRESH = 0.1  # seconds a reading is good for; what we enqueue meanwhile is added to it


class Pressure:
    """Knows how deep the limited queues are, about; the bound is soft by what others enqueue.

    `depth_of(queue, limit)` counts the jobs of a queue that are due, up to a limit.
    """

    def __init__(self, max_depth: Mapping[str, int]) -> None:
        self.max_depth = dict(max_depth)
        self._seen: dict[str, tuple[float, int]] = {}
        self._flying: Counter[str] = Counter()  # let through, not written yet

    async def admit(
        self,
        rows: Sequence[JobRow],
        depth_of: Callable[[str, int], Awaitable[int]],
        patience: float = 0.0,
    ) -> None:
        """Let the rows through, or wait up to `patience` seconds, or raise QueueFull.

        Once let through, they are to be reported as `landed`, written or not.
        """
        for queue, pause in self._looks(rows, time.monotonic() + patience):
            await asyncio.sleep(pause)
            if self._stale(queue):
                before, flying = self._seen.get(queue), self._flying[queue]
                depth = await depth_of(queue, self.max_depth[queue] + 1)
                if self._seen.get(queue) is before:  # else somebody knows better by now
                    self._seen[queue] = (time.monotonic(), depth + flying)

    def admit_sync(
        self,
        rows: Sequence[JobRow],
        depth_of: Callable[[str, int], int],
        patience: float = 0.0,
    ) -> None:
        """The same for plain functions."""
        for queue, pause in self._looks(rows, time.monotonic() + patience):
            time.sleep(pause)
            if self._stale(queue):
                flying = self._flying[queue]
                depth = depth_of(queue, self.max_depth[queue] + 1)
                self._seen[queue] = (time.monotonic(), depth + flying)

    def landed(self, rows: Sequence[JobRow]) -> None:
        """What was let through is written, or will never be."""
        self._flying.subtract(self._counted(rows))

    def _counted(self, rows: Sequence[JobRow]) -> Counter[str]:
        """How many of them are due, per queue that has a bound."""
        now = datetime.now(timezone.utc)
        return Counter(
            row.queue
            for row in rows
            if row.queue in self.max_depth
            and not row.delay
            and (row.run_at is None or row.run_at <= now)
        )

    def _looks(self, rows: Sequence[JobRow], end: float) -> Iterator[tuple[str, float]]:
        """How long to pause before each look at which queue, until all of them have room."""
        taken: Counter[str] = Counter()
        try:
            for queue, count in self._counted(rows).items():
                pause, wait = 0.0, 0.01
                while True:
                    yield queue, pause
                    if self._take(queue, count):
                        taken[queue] = count
                        break
                    left = end - time.monotonic()
                    if left <= 0:
                        raise QueueFull(queue, self.max_depth[queue])
                    self._seen.pop(queue, None)
                    pause, wait = min(wait, left), min(wait * 1.5, 0.25)
        except BaseException:  # one queue of several is full, or nobody waits any more
            self._flying.subtract(taken)
            raise

    def _take(self, queue: str, count: int) -> bool:
        """Take room for so many, if there is as much."""
        moment, depth = self._seen.get(queue, (0.0, self.max_depth[queue]))
        if depth + count > self.max_depth[queue]:
            return False
        self._seen[queue] = (moment, depth + count)
        self._flying[queue] += count
        return True

    def _stale(self, queue: str) -> bool:
        moment, _ = self._seen.get(queue, (0.0, 0))
        return time.monotonic() - moment > FRESH
