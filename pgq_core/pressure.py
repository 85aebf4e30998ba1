"""Backpressure: a queue may be only so deep."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from pgq_core.errors import QueueFull
from pgq_core.models import JobRow
from pgq_core.queries import Queries

FRESH = 0.1  # seconds a reading is good for; what we enqueue meanwhile is added to it


class Pressure:
    """Knows how deep the limited queues are, about; the bound is soft by what others enqueue."""

    def __init__(self, max_depth: Mapping[str, int]) -> None:
        self.max_depth = dict(max_depth)
        self._seen: dict[str, tuple[float, int]] = {}

    async def admit(self, rows: Sequence[JobRow], queries: Queries, patience: float = 0.0) -> None:
        """Let the rows through, or wait up to `patience` seconds, or raise QueueFull."""
        wanted = Counter(row.queue for row in rows if row.queue in self.max_depth)
        end = time.monotonic() + patience
        for queue, count in wanted.items():
            pause = 0.01
            while await self._depth(queue, queries) + count > self.max_depth[queue]:
                left = end - time.monotonic()
                if left <= 0:
                    raise QueueFull(queue, self.max_depth[queue])
                await asyncio.sleep(min(pause, left))
                self._seen.pop(queue, None)
                pause = min(pause * 1.5, 0.25)
            moment, depth = self._seen[queue]
            self._seen[queue] = (moment, depth + count)

    async def _depth(self, queue: str, queries: Queries) -> int:
        moment, depth = self._seen.get(queue, (0.0, 0))
        if time.monotonic() - moment > FRESH:
            depth = await queries.depth(queue, self.max_depth[queue] + 1)
            self._seen[queue] = (time.monotonic(), depth)
        return depth
