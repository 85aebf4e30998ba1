"""Wake, claim, run, finish."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError
from pgq_core.hooks import Hook
from pgq_core.maintenance import Rescuer, report
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.worker.book import Book, Running
from pgq_core.worker.claimer import Look
from pgq_core.worker.crew import Crew
from pgq_core.worker.flusher import Entry
from pgq_core.worker.lanes import Lanes
from pgq_core.worker.pace import Pace

log = logging.getLogger("pgq_core.worker")

LINGER = 0.002  # with a backlog, wait this long for more free slots: bigger claims cost less
TROUBLE = (*DISCONNECTED, asyncpg.PostgresError, DatabaseError)


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
        self.pace = Pace(options.idle_look)
        self.rescuer = Rescuer()
        self.crew: Crew
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stopping = False
        self._woken = False
        self._drained = False
        self._directory_at = 0.0
        self._swept_at = 0.0
        self._claims = 0

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
        self.crew = await Crew.open(self)
        try:
            await self._first_look()
            while not self._over():
                await self._step()
        finally:
            self.stop()
            await self.crew.close(self._hurry)

    def stop(self, now: bool = False) -> None:
        """Claim nothing more; let running jobs finish up to the limit, or with `now` stop them."""
        self._stopping = True
        if now:
            self._hurry.set()
        self._wake.set()

    async def _step(self) -> None:
        """Claim what fits, start it, sleep until there is a reason to look again."""
        self._wake.clear()  # before claiming: a wake-up during the claim must not be lost
        try:
            await self._reconcile()
            await self._claim()
        except TROUBLE as error:
            self.pace.at_once()
            self.crew.audit.wanted = True
            await self.crew.claimer.line.pause(error)
        now = time.monotonic()
        if not self.pace.reason(now) or self._free() <= 0:
            await self._sleep(min(self.pace.next_look, self.pace.limited_at) - now)

    def _over(self) -> bool:
        self.crew.check()
        limit = self.options.max_jobs
        return (
            self._stopping
            or (limit is not None and self.crew.attempts.started >= limit)
            or (self.options.until_empty and self._drained)
        )

    async def _sleep(self, seconds: float) -> None:
        """Until something wakes us, or the time is over."""
        if seconds > 0 and not self._stopping:
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except asyncio.TimeoutError:
                pass

    # -- claiming ---------------------------------------------------------------------------

    def _free(self) -> int:
        """Free slots; none while a suspect runs alone, or while outcomes pile up unwritten."""
        options = self.options
        if self.crew.suspects.holding or self.crew.flusher.backlog > 2 * options.concurrency + 1000:
            return 0
        free = options.concurrency - len(self.book.running)
        if options.max_jobs is not None:
            free = min(free, options.max_jobs - self.crew.attempts.started)
        return min(free, options.batch_size or free)

    async def _claim(self) -> None:
        """Claim when there is room and reason, with a look when its time has come."""
        look, free = self.pace.look_due(time.monotonic()), self._free()
        if look or (free > 0 and self.pace.hungry):
            free -= await self._claim_plain(free, look)
        if free > 0 and time.monotonic() >= self.pace.limited_at:
            free -= await self._claim_limited(free)
        if free > 0:
            await self._sweep(free)

    async def _claim_plain(self, free: int, look: bool) -> int:
        """Claim over the ordinary lanes; returns how many jobs that brought."""
        if self.pace.backlog and not look:
            free = await self._linger(free)
        if look and time.monotonic() - self._directory_at > 1.0:
            await self._read_directory()
        got, full, seen = 0, False, None
        for queue, room in self._rooms(free):
            runs, news = await self._claim_room(queue, min(room, free - got), look and seen is None)
            got, full, seen = got + len(runs), full or 0 < room <= len(runs), news or seen
        self._judge(free if full else got, free, look)
        if seen is not None:
            await self._learn(seen)
        return got

    async def _claim_room(
        self, queue: str | None, room: int, look: bool
    ) -> tuple[list[Running], Look | None]:
        """One claim over all lanes, or those of one queue that has a share of its own."""
        self._claims += 1
        share = self.options.floor_share
        upside_down = share > 0 and self._claims % round(1 / share) == 0
        plan = self.lanes.plan(queue, upside_down) if room > 0 else []
        runs, seen = await self.crew.claimer.claim(
            plan, room, now=time.monotonic(), look=look, idle=room > 0 and not self.pace.backlog
        )
        self._start(runs)
        return runs, seen

    def _rooms(self, free: int) -> list[tuple[str | None, int]]:
        """How many jobs may start: in all, or per queue where queues have shares."""
        queues = self.options.queues
        if not isinstance(queues, Mapping):
            return [(None, free)]
        used = Counter(run.job.queue for run in self.book.running.values())
        return [(queue, max(0, share - used[queue])) for queue, share in queues.items()]

    async def _claim_limited(self, free: int) -> int:
        """Jobs under limits and keys, when a look, a wake-up or a freed place speaks of some."""
        runs, status = await self.crew.claimer.claim_limited(free)
        self._start(runs)
        now = time.monotonic()
        self.pace.limited_at = now if len(runs) >= free else math.inf
        if status["busy"]:
            self.pace.limited_soon(now + 0.003)
        if status["wait"] is not None:
            self.pace.limited_soon(now + status["wait"])
        self._drained = self._drained and not runs and math.isinf(self.pace.limited_at)
        return len(runs)

    def _judge(self, got: int, free: int, look: bool) -> None:
        """Set the pace by what a claim brought; pass a wake-up on that we could not serve."""
        self.pace.claimed(got, free, look)
        if self._woken:
            self._woken = False
            if free <= 0 or self.pace.backlog:
                self.crew.sentinel.forward()
        self._drained = (
            look and not got and free > 0 and not self.book.running and self.crew.flusher.idle
        )

    async def _linger(self, free: int) -> int:
        """Wait a moment until a quarter of the slots is free."""
        want = max(1, self.options.concurrency // 4)
        end = time.monotonic() + LINGER
        while free < want and self.book.running and (left := end - time.monotonic()) > 0:
            self._wake.clear()
            await self._sleep(left)
            free = self._free()
        return free

    async def _sweep(self, free: int) -> None:
        """Look between floor and window, where late commits hide."""
        started = time.monotonic()
        if started < self.pace.next_sweep or not (plan := self.lanes.sweep_plan()):
            return
        runs, _ = await self.crew.claimer.claim(plan, free, now=started)
        self._start(runs)
        self.pace.swept(started)

    def _start(self, runs: list[Running]) -> None:
        for run in runs:
            self.crew.audit.newest_lease = max(self.crew.audit.newest_lease, run.lease.id)
            self.crew.attempts.start(run)

    # -- what the database tells ------------------------------------------------------------

    async def _first_look(self) -> None:
        """Learn lanes and pause flags before anything is claimed."""
        while not self._stopping:
            try:
                await self._read_directory()
                self.crew.claimer.take_reconnected()  # the first connection is no reconnect
                _, seen = await self.crew.claimer.claim([], 0, now=time.monotonic(), look=True)
                if seen is not None:
                    await self._learn(seen)
                return
            except TROUBLE as error:
                await self.crew.claimer.line.pause(error)

    async def _read_directory(self) -> None:
        queues = self.options.queues
        rows = await self.crew.claimer.line.call(
            "lanes",
            entrypoints=list(self.registry.entrypoints),
            queues=None if queues is None else list(queues),
        )
        self._directory_at = time.monotonic()
        self.lanes.learn_directory(rows, self.registry.limited)

    async def _reconcile(self) -> None:
        """After a reconnect trust nothing remembered; compare leases when it is time."""
        if self.crew.claimer.take_reconnected():
            self.distrust()
        await self.crew.audit.run_if_due()

    async def _learn(self, seen: Look) -> None:
        """Act on a look: epoch, lanes, pauses, cancellations, due times, the dead, suspects."""
        now = time.monotonic()
        self._notice_epoch(seen.epoch)
        if seen.newest_lane != self.lanes.newest:
            self.lanes.newest = seen.newest_lane
            await self._read_directory()
            self.pace.hungry = True
        self.lanes.pause(seen.paused)
        for job_id in seen.cancels.keys() & self.book.running.keys():
            self.book.running[job_id].stop("cancel", seen.cancels[job_id])
        if seen.promoted:
            self.lanes.name_all()
            self.pace.at_once()
        if seen.limited:
            self.pace.limited_soon()
        await self.crew.timetable.serve(seen.tick, now, self.pace)
        if seen.blocked and now - self._swept_at > 1.0:
            self._swept_at = now
            await self.crew.claimer.line.call("sweep")
        if seen.due is not None:
            self.pace.no_later_than(now + max(0.0, seen.due))
        await self._rescue(seen, now)
        suspect = None if self._stopping else await self.crew.suspects.take(seen.alone)
        if suspect is not None:
            self._start([suspect])
        self._drained = self._drained and not (self.pace.hungry or seen.alone)

    async def _rescue(self, seen: Look, now: float) -> None:
        dead = self.rescuer.overdue(seen.gone, seen.stale, now)
        if dead:
            report(await self.crew.claimer.line.call("rescue", workers=dead))
            self.lanes.name_all()
            self.pace.at_once()
        elif (again := self.rescuer.next_look()) is not None:
            self.pace.no_later_than(again)

    def _notice_epoch(self, epoch: str) -> None:
        """After a server restart what we remember is void: marks, lease numbers, the lock."""
        claimer = self.crew.claimer
        if claimer.epoch not in ("", epoch):
            log.warning("the server was restarted; looking at everything anew")
            self.distrust()
            self.crew.audit.newest_lease = 0
            self.crew.sentinel.retake()
        claimer.epoch = epoch

    # -- what wakes us ----------------------------------------------------------------------

    def hear(self, kind: str, payload: str) -> None:
        """A notification, or a word from the sentinel; called in our loop."""
        if kind == "lane":
            self._hear_lane(payload)
        elif kind in ("reconnected", "outlived"):
            self.crew.audit.wanted = True
        elif kind in ("look", "cancel"):
            self.lanes.name_all()
            self.pace.at_once()
        if kind != "done":
            self._wake.set()

    def _hear_lane(self, payload: str) -> None:
        self._woken = True
        self.crew.sentinel.stamp()
        if not payload:
            self.lanes.name_all()
        elif not self.lanes.name(int(payload)):
            self._directory_at, self.pace.next_look = 0.0, 0.0
        self.pace.hungry = True
        self.pace.limited_soon()

    def slot_freed(self) -> None:
        """An attempt has ended."""
        self.crew.suspects.ended()
        if self.pace.backlog or self.options.until_empty:
            self.pace.hungry = True
            self._wake.set()

    def look_now(self) -> None:
        """There may be something new to claim."""
        self.pace.at_once()
        self._wake.set()

    def written(self, entries: list[Entry]) -> None:
        """After a flush: jobs that come back soon deserve a look."""
        if any(run.limited for run, _ in entries):
            self.pace.limited_soon()
            self._wake.set()
        if any(outcome.kind in ("retry", "snooze", "interrupted") for _, outcome in entries):
            self.look_now()
        elif self.options.until_empty:
            self._wake.set()

    def distrust(self) -> None:
        """Somebody took our lease, or the connection broke: drop marks, compare leases."""
        self.lanes.forget()
        self.crew.audit.wanted = True
        self._wake.set()
