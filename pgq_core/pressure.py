"""Backpressure: a queue may be only so deep."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

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

    async def admit(
        self,
        rows: Sequence[JobRow],
        depth_of: Callable[[str, int], Awaitable[int]],
        patience: float = 0.0,
    ) -> None:
        """Let the rows through, or wait up to `patience` seconds, or raise QueueFull."""
        end = time.monotonic() + patience
        for queue, count in self._wanted(rows):
            for pause in self._tries(queue, count, end):
                await asyncio.sleep(pause)
                if self._stale(queue):
                    self._note(queue, await depth_of(queue, self.max_depth[queue] + 1))

    def admit_sync(
        self,
        rows: Sequence[JobRow],
        depth_of: Callable[[str, int], int],
        patience: float = 0.0,
    ) -> None:
        """The same for plain functions."""
        end = time.monotonic() + patience
        for queue, count in self._wanted(rows):
            for pause in self._tries(queue, count, end):
                time.sleep(pause)
                if self._stale(queue):
                    self._note(queue, depth_of(queue, self.max_depth[queue] + 1))

    def _wanted(self, rows: Sequence[JobRow]) -> list[tuple[str, int]]:
        return list(Counter(row.queue for row in rows if row.queue in self.max_depth).items())

    def _tries(self, queue: str, count: int, end: float) -> Iterator[float]:
        """How long to pause before each look at the queue, until it has room for `count`."""
        pause, wait = 0.0, 0.01
        while True:
            yield pause
            moment, depth = self._seen[queue]
            if depth + count <= self.max_depth[queue]:
                self._seen[queue] = (moment, depth + count)
                return
            left = end - time.monotonic()
            if left <= 0:
                raise QueueFull(queue, self.max_depth[queue])
            del self._seen[queue]
            pause, wait = min(wait, left), min(wait * 1.5, 0.25)

    def _stale(self, queue: str) -> bool:
        moment, _ = self._seen.get(queue, (0.0, 0))
        return time.monotonic() - moment > FRESH

    def _note(self, queue: str, depth: int) -> None:
        self._seen[queue] = (time.monotonic(), depth)
