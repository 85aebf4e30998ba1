"""What is claimed now: ordinary lanes, those under limits, and where late commits hide."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pgq_core.worker.book import Running
from pgq_core.worker.claimer import DueMark, Look
from pgq_core.worker.lane import Stretch

if TYPE_CHECKING:
    from pgq_core.worker.worker import Worker

log = logging.getLogger("pgq_core.worker")

DIRECTORY = 30.0  # the lane directory is read when it has grown, and this often in any case
LAST_RESORT = 60.0
LINGER = 0.002  # with a backlog, wait this long for more free slots: bigger claims cost less


class Claims:
    """The claims of one worker, each no bigger than what can start at once.

    `drained`: the last look found nothing to claim, and nothing runs or is unwritten.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.drained = False
        self.crowded: set[str | None] = set()  # queues that may hold more than we could take
        self._resort_at = time.monotonic() + LAST_RESORT

    async def make(self) -> None:
        """Claim when there is room and reason, with a look when its time has come."""
        pace, slots, now = self.worker.pace, self.worker.slots, time.monotonic()
        look, free = pace.look_due(now), slots.free()
        if free <= 0:
            self.worker.ear.pass_on(unserved=True)
        if free > 0 and pace.backlog and self._limited_due():
            await self._limited(ahead=True)
            free = slots.free()
        if look or (free > 0 and pace.claim_due(now)):
            await self._plain(free, look)
        if not pace.backlog and slots.free() > 0 and self._limited_due():
            await self._limited()
        if (free := slots.free()) > 0:
            await self._sweep(free)
        if (free := slots.free()) > 0:
            await self._last_resort(free)
        await self.worker.news.suspect()  # last: it starts only where nothing else has

    def start(self, runs: list[Running]) -> None:
        """An attempt for each."""
        crew = self.worker.crew
        self.drained = self.drained and not runs
        for run in runs:
            crew.audit.newest_lease = max(crew.audit.newest_lease, run.lease.id)
            crew.attempts.start(run)

    # -- ordinary lanes ---------------------------------------------------------------------

    async def _plain(self, free: int, look: bool) -> None:
        """Claim over the ordinary lanes."""
        pace, slots, news = self.worker.pace, self.worker.slots, self.worker.news
        if self.crowded:
            free = min(await self._linger(free), slots.half())
        if look and time.monotonic() - news.directory_at > DIRECTORY:
            await news.read_directory()
        pace.claiming(free, look)
        began, calm = time.monotonic(), free > 0 and self._calm() and not pace.crowd
        got, full, seen = 0, False, None
        for queue, share in slots.rooms() if free > 0 else [(None, 0)]:
            room = min(share, free - got)
            if room <= 0 and (got or not look or seen is not None):
                continue
            count, filled, found = await self._room(queue, room, look and seen is None)
            got, seen = got + count, found or seen
            if room > 0:
                (self.crowded.add if filled else self.crowded.discard)(queue)
                full = full or filled
            elif free > 0 and share <= 0:
                self.crowded.add(queue)
        pace.backlog = any(share > 0 and queue in self.crowded for queue, share in slots.rooms())
        quiet = self._quiet(began, calm, seen)
        self._judge(got, free, look, full, quiet)
        if seen is not None:
            await news.learn(seen)

    def _calm(self) -> bool:
        """Whether producers may wake us: who hears nothing must not be woken, and who looks all the
        time need not be."""
        return not self.worker.pace.backlog and self.worker.crew.sentinel.hears

    def _quiet(self, began: float, calm: bool, seen: Look | None) -> bool:
        """Whether everything that no producer will tell has been seen."""
        lanes, quiet = self.worker.lanes, self.worker.quiet
        if seen is None:
            return False
        if not calm or lanes.skipping or lanes.unswept:
            quiet.broken()
            return False
        return quiet.after(began, seen.oldest, seen.following)

    async def _room(
        self, queue: str | None, room: int, look: bool
    ) -> tuple[int, bool, Look | None]:
        """Claim over all lanes, or those of one queue that has a share of its own, and start what
        comes: how many, whether the last claim came back full, what else is going on."""
        runs, seen = await self._claim(queue, room, look)
        if seen is not None:
            cancel(runs, seen)  # before they start
        got, filled = len(runs), len(runs) >= room
        while not look and queue is None and (more := self._more(len(runs), filled)) > 0:
            ahead = asyncio.ensure_future(self._claim(queue, more, look))
            await asyncio.sleep(0)  # the request leaves: the server works while these start
            self.start(runs)
            runs, _ = await ahead
            got, filled = got + len(runs), len(runs) >= more
        self.start(runs)
        return got, filled, seen

    def _more(self, waiting: int, filled: bool) -> int:
        """How many to claim while `waiting` jobs start: with a backlog, what is still free, if that
        is worth a claim and nothing else is due."""
        worker, now = self.worker, time.monotonic()
        if not (filled and worker.pace.backlog) or worker.pace.look_due(now) or self._limited_due():
            return 0
        free = min(worker.slots.free() - waiting, worker.slots.half())
        return free if free >= worker.options.concurrency // 4 else 0

    async def _claim(
        self, queue: str | None, room: int, look: bool
    ) -> tuple[list[Running], Look | None]:
        """One claim; nothing of it has started."""
        worker, pace, now = self.worker, self.worker.pace, time.monotonic()
        plan = worker.lanes.plan(queue, self._upside_down()) if room > 0 else []
        late = self._late(now) if queue is None and room > 0 else []
        idle = not pace.crowd if room > 0 and self._calm() else None
        claim = worker.crew.claimer.claim
        runs, seen = await claim(plan + late, room, now=now, look=look, idle=idle)
        if late:
            pace.swept(now)
        return runs, seen

    def _upside_down(self) -> bool:
        """Whether this claim is one of the few in which low priorities go first."""
        return random.random() < self.worker.options.floor_share

    def _judge(self, got: int, free: int, look: bool, full: bool, quiet: bool) -> None:
        """Set the pace by what a claim brought; pass a wake-up on that we could not serve."""
        worker = self.worker
        worker.pace.claimed(got, free, look, full, quiet)
        worker.ear.pass_on(unserved=free <= 0 or bool(self.crowded))
        self.drained = (
            look and not got and free > 0 and not worker.book.running and worker.crew.flusher.idle
        )

    async def _linger(self, free: int) -> int:
        """Wait a moment until a quarter of the slots is free."""
        worker = self.worker
        want = max(1, worker.options.concurrency // 4)
        end = time.monotonic() + LINGER
        while free < want and worker.book.running and (left := end - time.monotonic()) > 0:
            worker.ear.woken.clear()
            await worker.sleep(left)
            free = worker.slots.free()
        return free

    # -- limits and keys --------------------------------------------------------------------

    def _limited_due(self) -> bool:
        return time.monotonic() >= self.worker.pace.limited_at

    async def _limited(self, ahead: bool = False) -> None:
        """Jobs under limits and keys, when a look, a wake-up or a freed place speaks of some.

        `ahead`: while ordinary jobs take every slot, those whose turn is before them.
        """
        worker, limited, runs = self.worker, self.worker.limited, False
        for queue, share in worker.slots.rooms():
            room, now = min(share, worker.slots.free()), time.monotonic()
            if ahead:
                lanes = limited.ahead(now, queue, self._upside_down())
            else:
                lanes = limited.plan(now, queue)
            if room > 0 and lanes:
                changes = limited.changes
                new, status = await worker.crew.claimer.claim_limited(room, lanes)
                self.start(new)
                runs = runs or bool(new)
                limited.asked(lanes, len(new), room, status, time.monotonic(), changes)
        worker.pace.limited_at = limited.next_at
        if runs:
            worker.pace.stir()
        self.drained = self.drained and not runs and math.isinf(worker.pace.limited_at)

    # -- what commits late ------------------------------------------------------------------

    async def _sweep(self, free: int) -> None:
        """Look between floor and window, where late commits hide, if no claim just did."""
        started = time.monotonic()
        if self.worker.pace.gathering(started) or not (plan := self._late(started)):
            return
        runs, _ = await self.worker.crew.claimer.claim(plan, free, now=started)
        self.start(runs)
        self.worker.pace.swept(started)

    def _late(self, now: float) -> list[Stretch]:
        """What a sweep reads, when its time has come."""
        return self.worker.lanes.sweep_plan() if now >= self.worker.pace.next_sweep else []

    async def make_sure(self) -> None:
        """Before a worker that drains may end: read what the last look has left out."""
        worker, now = self.worker, time.monotonic()
        due, plan = worker.crew.claimer.due, worker.lanes.left_out()
        if due.from_floor and not plan:
            return
        due.swept = 0.0
        runs, seen = await worker.crew.claimer.claim(plan, worker.slots.free(), now=now, look=True)
        if seen is not None and seen.promoted:
            self.drained = False
            worker.look_anew()
        self.start(runs)

    async def _last_resort(self, free: int) -> None:
        """About once a minute read what should be empty for ever: a job found there is a bug of
        ours, is counted, and runs all the same."""
        now, claimer = time.monotonic(), self.worker.crew.claimer
        if now < self._resort_at:
            return
        self._resort_at = now + LAST_RESORT * random.uniform(0.5, 1.5)
        claimer.due = DueMark()
        self.worker.lanes.lower_limited_floors()
        self.worker.limited_soon()
        if not (plan := self.worker.lanes.below_floors()):
            return
        runs, _ = await claimer.claim(plan, free, now=now)
        self.start(runs)
        if runs:
            claimer.below_floor += len(runs)
            log.error("found %d jobs below a floor; please report this", len(runs))
            self.worker.distrust()


def cancel(runs: Iterable[Running], seen: Look) -> None:
    """Stop those whose cancellation is asked."""
    for run in [run for run in runs if run.job.id in seen.cancels]:
        run.stop("cancel", seen.cancels[run.job.id])
