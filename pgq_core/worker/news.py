"""What the database tells in a look, and what follows from it."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from pgq_core.maintenance import Rescuer, report
from pgq_core.worker.claimer import Look
from pgq_core.worker.claims import cancel
from pgq_core.worker.lane import Lane

if TYPE_CHECKING:
    from pgq_core.worker.worker import Worker

log = logging.getLogger("pgq_core.worker")

WATCH = 0.5  # seconds between looks at most, about, while others hold jobs, with which they may die


class News:
    """The reader of looks: epoch, lanes, pauses, cancellations, due times, the dead, suspects."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.directory_at = 0.0
        self._rescuer = Rescuer()
        self._next_flow = 0.0
        self._place: str | None = None
        self._alone: list[Lane] | None = None  # where suspects wait; None: nothing new of them
        self._lease = 0
        self._others_until = 0.0

    async def first(self) -> None:
        """Learn lanes and pause flags before anything is claimed."""
        claimer = self.worker.crew.claimer
        await self.read_directory()
        claimer.take_reconnected()  # the first connection is no reconnect
        _, seen = await claimer.claim([], 0, now=time.monotonic(), look=True)
        if seen is not None:
            await self.learn(seen)

    async def read_directory(self) -> None:
        """Which lanes there are for us."""
        worker, queues = self.worker, self.worker.options.queues
        rows = await worker.crew.claimer.line.call(
            "lanes",
            entrypoints=list(worker.registry.entrypoints),
            queues=None if queues is None else list(queues),
        )
        self.directory_at = time.monotonic()
        worker.lanes.learn_directory(rows, worker.registry.limited)

    async def reconcile(self) -> None:
        """After a reconnect trust nothing remembered; compare leases when it is time."""
        if self.worker.crew.claimer.take_reconnected():
            self.worker.distrust()
        await self.worker.crew.audit.run_if_due()

    async def learn(self, seen: Look) -> None:
        """Act on all of it."""
        worker, now = self.worker, time.monotonic()
        self._notice_epoch(seen.epoch)
        await self._notice_lanes(seen)
        cancel(worker.book.running, seen)
        if seen.promoted:
            worker.look_anew()
        if seen.limited:
            worker.limited_soon()
        await worker.crew.timetable.serve(seen.tick, now, worker.pace)
        if seen.blocked:
            await self._sweep_flow(now)
        if seen.due is not None:
            worker.pace.no_later_than(now + max(0.0, seen.due))
        self._watch_others(seen, now)
        await self._rescue(seen, now)
        self._notice_suspects(seen)
        await self._doubt()

    def _notice_epoch(self, epoch: str) -> None:
        """After a server restart what we remember is void: marks, lease numbers, the lock."""
        crew = self.worker.crew
        if crew.claimer.epoch not in ("", epoch):
            log.warning("the server was restarted; looking at everything anew")
            self.worker.distrust()
            crew.audit.forget()
            crew.sentinel.retake()
        crew.claimer.epoch = epoch

    async def _notice_lanes(self, seen: Look) -> None:
        """New ones, and which are paused."""
        lanes = self.worker.lanes
        if seen.directory != lanes.version:
            lanes.version = seen.directory
            await self.read_directory()
            self.worker.expect_more()
        if lanes.pause(seen.paused):
            self.worker.expect_more()

    async def _sweep_flow(self, now: float) -> None:
        """Once a second, and a tenth of the time at most: what hand-over and following missed."""
        if now < self._next_flow:
            return
        line = self.worker.crew.claimer.line
        row = (await line.call("sweep", place=self._place, apart=900))[0]
        self._place = row["place"]
        self._next_flow = now + max(1.0, 10 * (time.monotonic() - now))
        if row["moved"]:
            self.worker.look_anew()

    def _watch_others(self, seen: Look, now: float) -> None:
        """Look more often while others hold jobs. That shows at once in lease numbers that are not
        ours, and from their next beat on in what they say of themselves."""
        if seen.lease not in (self._lease, self.worker.crew.audit.newest_lease):
            self._others_until = now + self.worker.options.lease / 2
        self._lease = seen.lease
        if seen.others or (seen.others is not None and now < self._others_until):
            self.worker.pace.no_later_than(now + WATCH * random.uniform(0.8, 1.2))

    async def _rescue(self, seen: Look, now: float) -> None:
        dead = self._rescuer.overdue(seen.gone, seen.stale, now)
        if dead:
            report(await self.worker.crew.claimer.line.call("rescue", workers=dead))
            self.worker.look_anew()
        elif (again := self._rescuer.next_look()) is not None:
            self.worker.pace.no_later_than(again)

    def _notice_suspects(self, seen: Look) -> None:
        """Where jobs wait that may only run alone."""
        worker = self.worker
        self._alone = [lane for lane in worker.lanes.of_kind("alone") if lane.id in seen.alone]
        worker.claims.drained = worker.claims.drained and not (worker.pace.hungry or self._alone)

    async def suspect(self) -> None:
        """Start one of the jobs that may only run alone, once after each look."""
        waiting, self._alone = self._alone, None
        if waiting is None or self.worker.stopping:
            return
        suspect = await self.worker.crew.suspects.take(waiting)
        if suspect is not None:
            self.worker.claims.start([suspect])

    async def _doubt(self) -> None:
        """A worker that drains stays while jobs are held by somebody who may be dead, or may have
        been overlooked."""
        worker = self.worker
        if worker.options.until_empty and worker.claims.drained:
            worker.claims.drained = not await worker.crew.others.in_doubt()
        if worker.options.until_empty and worker.claims.drained:
            await worker.claims.make_sure()
