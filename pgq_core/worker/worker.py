"""Wake, claim, run, finish."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseUnreachable
from pgq_core.hooks import Hook
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.worker.book import Book
from pgq_core.worker.claimer import DueMark
from pgq_core.worker.claims import Claims
from pgq_core.worker.crew import TROUBLE, Crew, declare_limits, info_of
from pgq_core.worker.ear import Ear
from pgq_core.worker.flusher import Entry
from pgq_core.worker.lanes import Lanes
from pgq_core.worker.limited import Limited
from pgq_core.worker.news import News
from pgq_core.worker.pace import Pace
from pgq_core.worker.quiet import Quiet
from pgq_core.worker.slots import Slots


class Worker:
    """One process's loop. `run()` returns when it was stopped, or has emptied the queue."""

    def __init__(
        self,
        queries: Queries,
        registry: Registry,
        options: WorkerOptions,
        *,
        enqueue: Callable[..., Awaitable[Any]],
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.queries = queries
        self.registry = registry
        self.options = options
        self.enqueue = enqueue
        self.hooks = hooks
        self.resources: Any = None
        self.exit_hard = False
        self.lanes = Lanes()
        self.book = Book()
        self.limited = Limited(self.lanes)
        self.pace = Pace(options.idle_look)
        self.quiet = Quiet()
        self.slots = Slots(self)
        self.claims = Claims(self)
        self.news = News(self)
        self.ear = Ear(self)
        self.crew: Crew
        self.stopping = False
        self._hurry = asyncio.Event()

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until stopped. Being cancelled stops it too, in order; twice, at once.

        The loop is a task of its own that is never cancelled: a claim in flight must end.
        """
        life, cancelled = asyncio.get_running_loop().create_task(self._live()), False
        while not life.done():
            try:
                await asyncio.shield(life)
            except asyncio.CancelledError:
                self.stop(now=cancelled)
                cancelled = True
        life.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _live(self) -> None:
        try:
            self.crew = await Crew.open(self)
        except DISCONNECTED as error:
            raise DatabaseUnreachable(f"the database went away at the start: {error}") from error
        try:
            await self._begin()
            while not self._over():
                await self._step()
        finally:
            self.stop()
            await self.crew.close(self._hurry)

    async def _begin(self) -> None:
        while not self.stopping:
            try:
                await self.news.first()
                break
            except TROUBLE as error:
                await self._wait_out(error)

    def stop(self, now: bool = False) -> None:
        """Claim nothing more; let running jobs finish up to the limit, or with `now` stop them."""
        self.stopping = True
        if now:
            self._hurry.set()
        self.ear.woken.set()

    async def _step(self) -> None:
        """Claim what fits, start it, sleep until there is a reason to look again."""
        self.ear.woken.clear()  # before claiming: a wake-up during the claim must not be lost
        try:
            await self.news.reconcile()
            await self.claims.make()
        except TROUBLE as error:
            self.claims.drained = False  # not all of it was looked at
            self.pace.at_once()
            await self._wait_out(error)
        now, full = time.monotonic(), self.slots.free() <= 0
        if full and self.pace.crowd:
            self.pace.hungry = True  # the next slot that is freed wakes us
        if full or not self.pace.reason(now):
            await self.sleep(self.pace.next_reason(full) - now)

    async def _wait_out(self, error: BaseException) -> None:
        """A pause, longer each time; then compare what we hold with the database."""
        self.crew.audit.wanted = True
        await self.crew.claimer.line.pause(error)

    def _over(self) -> bool:
        self.crew.check()
        limit = self.options.max_jobs
        return (
            self.stopping
            or (limit is not None and self.crew.attempts.started >= limit)
            or (self.options.until_empty and self.claims.drained)
        )

    async def sleep(self, seconds: float) -> None:
        """Until something wakes us, or the time is over."""
        if seconds > 0 and not self.stopping:
            try:
                await asyncio.wait_for(self.ear.woken.wait(), seconds)
            except asyncio.TimeoutError:
                pass
        else:
            await asyncio.sleep(0)  # whatever the reason, never spin without letting others run

    # -- reasons to look --------------------------------------------------------------------

    async def serve_more(self) -> None:
        """The registry has grown while we run: declare its limits, and look at its lanes."""
        self.crew.sentinel.presence.introduce(info_of(self))
        await declare_limits(self.queries, self.registry)
        self.news.directory_at, self.pace.next_look = 0.0, 0.0
        self.ear.woken.set()

    def look_anew(self) -> None:
        """Something has come to lanes we may have found empty."""
        self.lanes.name_all()
        self.pace.at_once()

    def expect_more(self) -> None:
        """There may be jobs in any lane."""
        self.lanes.name_all()
        self.limited_soon()
        self.pace.hungry = True

    def limited_soon(self) -> None:
        """Something has changed for jobs under limits and keys."""
        self.limited.soon()
        self.pace.limited_at = 0.0

    def slot_freed(self) -> None:
        """An attempt has ended."""
        self.crew.suspects.ended()
        if self.claims.crowded or self.options.until_empty:
            self.pace.hungry = True
            self.ear.woken.set()
        elif self.pace.hungry or not math.isinf(self.pace.limited_at):
            self.ear.woken.set()

    def look_now(self) -> None:
        """There may be something new to claim."""
        self.pace.at_once()
        self.ear.woken.set()

    def written(self, entries: list[Entry]) -> None:
        """After a flush: jobs that come back soon deserve a look."""
        if any(run.limited for run, _ in entries):
            self.limited_soon()
            self.ear.woken.set()
        if any(outcome.kind in ("retry", "snooze", "interrupted") for _, outcome in entries):
            self.look_now()
        elif self.options.until_empty:
            self.ear.woken.set()

    def distrust(self) -> None:
        """Somebody took our lease, or the connection broke: drop marks, compare leases."""
        self.lanes.forget()
        self.crew.claimer.due = DueMark()
        self.crew.audit.wanted = True
        self.ear.woken.set()
