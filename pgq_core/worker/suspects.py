"""Jobs that have seen two workers die run with nothing beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from pgq_core.worker.book import Running
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.flusher import Flusher
from pgq_core.worker.lane import END, Lane, Stretch

PATIENCE = 5.0  # an idle worker takes a suspect at once; after this long, busy ones drain for it …
DRAIN = 30.0  # … but never longer than that


class Suspects:
    """A suspect has a lease and a worker of its own: only the guilty collects more crashes."""

    def __init__(self, claimer: Claimer, flusher: Flusher, released: Callable[[], None]) -> None:
        self.claimer = claimer
        self.flusher = flusher
        self.alone: Running | None = None
        self._released = released
        self._since: float | None = None
        self._release: asyncio.Task[None] | None = None

    @property
    def holding(self) -> bool:
        """Whether nothing else may start now: a suspect runs, or we drain for one."""
        waited = 0.0 if self._since is None else time.monotonic() - self._since
        return self.alone is not None or PATIENCE < waited < PATIENCE + DRAIN

    async def take(self, waiting: Sequence[Lane]) -> Running | None:
        """Claim one suspect of those waiting in these lanes, if this worker is idle."""
        if not waiting:
            self._since = None
            return None
        self._since = self._since or time.monotonic()
        if self.claimer.book.running or self.alone is not None:
            return None
        plan = [Stretch(lane, 0, END) for lane in waiting]
        runs, _ = await self.claimer.claim(plan, 1, now=time.monotonic())
        self._since = None
        self.alone = runs[0] if runs else None
        return self.alone

    def ended(self) -> None:
        """The suspect has ended: let others start once its outcome is written."""
        if self.alone is not None and not self.claimer.book.running:
            self._release = asyncio.get_running_loop().create_task(self._let_go())

    async def _let_go(self) -> None:
        await self.flusher.drained()
        self.alone = None
        self._released()
