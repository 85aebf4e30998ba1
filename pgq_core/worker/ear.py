"""What wakes a worker, and whom it wakes in turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgq_core.worker.worker import Worker


class Ear:
    """Notifications, and words from the sentinel. `woken` is set when there is a reason to look."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.woken = asyncio.Event()
        self._named = False  # as the one idle worker
        self._strangers: set[int] = set()  # lanes we were named for and do not know

    def hear(self, kind: str, payload: str) -> None:
        """A notification, or a word from the sentinel; called in our loop."""
        worker = self.worker
        if not hasattr(worker, "crew"):  # the first look will see it all
            return
        if kind in ("lane", "look"):
            worker.quiet.heard()
        if kind == "lane":
            self._hear_lane(payload)
        elif kind in ("reconnected", "outlived"):
            worker.crew.audit.wanted = True
        elif kind in ("look", "cancel"):
            worker.look_anew()
        self.woken.set()

    def _hear_lane(self, payload: str) -> None:
        worker = self.worker
        self._named = True
        worker.crew.sentinel.stamp()
        if not payload:  # several lanes, or a job due soon
            worker.look_anew()
        elif not worker.lanes.name(int(payload)):
            self._strangers.add(int(payload))  # unless it is new, and ours
            worker.news.directory_at, worker.pace.next_look = 0.0, 0.0
        worker.pace.hungry = True
        worker.pace.stir()
        worker.limited_soon()

    def pass_on(self, *, unserved: bool) -> None:
        """A wake-up that we cannot serve, or not alone, goes to all idle workers, once."""
        if self._named and (unserved or self._strangers - self.worker.lanes.by_id.keys()):
            self.worker.crew.sentinel.forward()
        self._named = False
        self._strangers.clear()
