"""Wake, claim, run, finish."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError, DatabaseUnreachable
from pgq_core.hooks import Hook
from pgq_core.maintenance import Rescuer, report
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.worker.book import Book, Running
from pgq_core.worker.claimer import DueMark, Look
from pgq_core.worker.crew import Crew, declare_limits
from pgq_core.worker.flusher import Entry
from pgq_core.worker.lanes import Lanes, Stretch
from pgq_core.worker.limited import Limited
from pgq_core.worker.pace import Pace

log = logging.getLogger("pgq_core.worker")

DIRECTORY = 30.0  # the lane directory is read when it has grown, and this often in any case
LAST_RESORT = 60.0
PIPELINE = 200  # slots from which on claims overlap with the work
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
        self.limited = Limited(self.lanes)
        self.pace = Pace(options.idle_look)
        self.rescuer = Rescuer()
        self.crew: Crew
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stopping = False
        self._woken = False
        self._strangers: set[int] = set()
        self._drained = False
        self._directory_at = 0.0
        self._resort_at = time.monotonic() + LAST_RESORT
        self._next_flow = 0.0
        self._place: str | None = None
        self._crowded: set[str | None] = set()  # queues whose last claim came back full

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
        now, full = time.monotonic(), self._free() <= 0
        if full or not self.pace.reason(now):
            limited_at = math.inf if full else self.pace.limited_at
            await self._sleep(min(self.pace.next_look, limited_at) - now)

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
        else:
            await asyncio.sleep(0)  # whatever the reason, never spin without letting others run

    # -- claiming ---------------------------------------------------------------------------

    def _free(self) -> int:
        """Free slots; none while we stop, while a suspect runs alone, while outcomes pile up
        unwritten, or while nobody hears our beats."""
        options, crew = self.options, self.crew
        if self._stopping or crew.suspects.holding or crew.silent:
            return 0
        if crew.flusher.backlog > 2 * options.concurrency + 1000:
            return 0
        free = options.concurrency - len(self.book.running)
        if isinstance(options.queues, Mapping):
            free = min(free, sum(room for _, room in self._rooms()))
        if options.max_jobs is not None:
            free = min(free, options.max_jobs - self.crew.attempts.started)
        return min(free, options.batch_size or free)

    async def _claim(self) -> None:
        """Claim when there is room and reason, with a look when its time has come."""
        look, free = self.pace.look_due(time.monotonic()), self._free()
        if free <= 0:
            self._pass_on(unserved=True)
        # Count anew each time: a look may have started a suspect, beside which nothing may start.
        if free > 0 and self.pace.backlog and self._limited_due():
            await self._claim_limited(ahead=True)
            free = self._free()
        if look or (free > 0 and self.pace.hungry):
            await self._claim_plain(free, look)
        if not self.pace.backlog and self._free() > 0 and self._limited_due():
            await self._claim_limited()
        if (free := self._free()) > 0:
            await self._sweep(free)
        if (free := self._free()) > 0:
            await self._last_resort(free)

    async def _claim_plain(self, free: int, look: bool) -> None:
        """Claim over the ordinary lanes."""
        if self.pace.backlog and not look:
            free = min(await self._linger(free), self._half())
        if look and time.monotonic() - self._directory_at > DIRECTORY:
            await self._read_directory()
        self.pace.claiming(free, look)
        got, full, seen = 0, False, None
        for queue, share in self._rooms() if free > 0 else [(None, 0)]:
            room = min(share, free - got)
            if room <= 0 and (got or not look or seen is not None):
                continue
            runs, news = await self._claim_room(queue, room, look and seen is None)
            got, seen = got + len(runs), news or seen
            if room > 0:
                (self._crowded.add if len(runs) >= room else self._crowded.discard)(queue)
                full = full or len(runs) >= room
        self.pace.backlog = bool(self._crowded)
        self._judge(got, free, look, full)
        if seen is not None:
            await self._learn(seen)

    async def _claim_room(
        self, queue: str | None, room: int, look: bool
    ) -> tuple[list[Running], Look | None]:
        """One claim over all lanes, or those of one queue that has a share of its own."""
        now = time.monotonic()
        plan = self.lanes.plan(queue, self._upside_down()) if room > 0 else []
        late = self._late(now) if queue is None and room > 0 else []
        # Who hears nothing must not be woken by producers; who looks all the time need not be.
        calm = room > 0 and not self.pace.backlog and self.crew.sentinel.hears
        idle = not self.pace.crowd if calm else None
        runs, seen = await self.crew.claimer.claim(plan + late, room, now=now, look=look, idle=idle)
        if late:
            self.pace.swept(now)
        if seen is not None:
            cancel(runs, seen)  # before they start
        self._start(runs)
        return runs, seen

    def _upside_down(self) -> bool:
        """Whether this claim is one of the few in which low priorities go first."""
        return random.random() < self.options.floor_share

    def _rooms(self) -> list[tuple[str | None, int]]:
        """How many jobs may start: in all, or per queue where queues have shares, in any order."""
        queues = self.options.queues
        if not isinstance(queues, Mapping):
            return [(None, self.options.concurrency)]
        used = Counter(run.job.queue for run in self.book.running)
        rooms: list[tuple[str | None, int]] = [
            (queue, max(0, share - used[queue])) for queue, share in queues.items()
        ]
        random.shuffle(rooms)
        return rooms

    def _limited_due(self) -> bool:
        return time.monotonic() >= self.pace.limited_at

    async def _claim_limited(self, ahead: bool = False) -> None:
        """Jobs under limits and keys, when a look, a wake-up or a freed place speaks of some.

        `ahead`: while ordinary jobs take every slot, those whose turn is before them.
        """
        runs: list[Running] = []
        for queue, share in self._rooms():
            room, now = min(share, self._free()), time.monotonic()
            if ahead:
                lanes = self.limited.ahead(now, queue, self._upside_down())
            else:
                lanes = self.limited.plan(now, queue)
            if room > 0 and lanes:
                changes = self.limited.changes
                new, status = await self.crew.claimer.claim_limited(room, lanes)
                self._start(new)
                runs += new
                self.limited.asked(lanes, len(new), room, status, time.monotonic(), changes)
        self.pace.limited_at = self.limited.next_at
        if runs:
            self.pace.stir()
        self._drained = self._drained and not runs and math.isinf(self.pace.limited_at)

    def _limited_soon(self) -> None:
        """Something has changed for jobs under limits and keys."""
        self.limited.soon()
        self.pace.limited_at = 0.0

    def _expect_more(self) -> None:
        """There may be jobs in any lane."""
        self.lanes.name_all()
        self._limited_soon()
        self.pace.hungry = True

    def _judge(self, got: int, free: int, look: bool, full: bool) -> None:
        """Set the pace by what a claim brought; pass a wake-up on that we could not serve."""
        self.pace.claimed(got, free, look, full)
        self._pass_on(unserved=free <= 0 or self.pace.backlog)
        self._drained = (
            look and not got and free > 0 and not self.book.running and self.crew.flusher.idle
        )

    def _pass_on(self, *, unserved: bool) -> None:
        """A wake-up that we cannot serve, or not alone, goes to all idle workers, once."""
        if self._woken and (unserved or self._strangers - self.lanes.by_id.keys()):
            self.crew.sentinel.forward()
        self._woken = False
        self._strangers.clear()

    def _half(self) -> int:
        """With a backlog, half of the slots: one half is claimed while the other runs."""
        slots = self.options.concurrency
        return slots if slots < PIPELINE else (slots + 1) // 2

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
        """Look between floor and window, where late commits hide, if no claim just did."""
        started = time.monotonic()
        if not (plan := self._late(started)):
            return
        runs, _ = await self.crew.claimer.claim(plan, free, now=started)
        self._start(runs)
        self.pace.swept(started)

    def _late(self, now: float) -> list[Stretch]:
        """What a sweep reads, when its time has come."""
        return self.lanes.sweep_plan() if now >= self.pace.next_sweep else []

    async def _last_resort(self, free: int) -> None:
        """About once a minute read what should be empty for ever: a job found there is a bug of
        ours, is counted, and runs all the same."""
        now = time.monotonic()
        if now < self._resort_at:
            return
        self._resort_at = now + LAST_RESORT * random.uniform(0.5, 1.5)
        self.crew.claimer.due = DueMark()
        if not (plan := self.lanes.below_floors()):
            return
        runs, _ = await self.crew.claimer.claim(plan, free, now=now)
        self._start(runs)
        if runs:
            self.crew.claimer.below_floor += len(runs)
            log.error("found %d jobs below a floor; please report this", len(runs))
            self.distrust()

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
                self.crew.audit.wanted = True
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
        if seen.directory != self.lanes.version:
            self.lanes.version = seen.directory
            await self._read_directory()
            self._expect_more()
        if self.lanes.pause(seen.paused):
            self._expect_more()
        cancel(self.book.running, seen)
        if seen.promoted:
            self.lanes.name_all()
            self.pace.at_once()
        if seen.limited:
            self._limited_soon()
        await self.crew.timetable.serve(seen.tick, now, self.pace)
        if seen.blocked:
            await self._sweep_flow(now)
        if seen.due is not None:
            self.pace.no_later_than(now + max(0.0, seen.due))
        await self._rescue(seen, now)
        waiting = [lane for lane in self.lanes.of_kind("alone") if lane.id in seen.alone]
        suspect = None if self._stopping else await self.crew.suspects.take(waiting)
        if suspect is not None:
            self._start([suspect])
        self._drained = self._drained and not (self.pace.hungry or waiting)

    async def _sweep_flow(self, now: float) -> None:
        """Once a second, and a tenth of the time at most: what hand-over and following missed."""
        if now < self._next_flow:
            return
        row = (await self.crew.claimer.line.call("sweep", place=self._place, apart=900))[0]
        self._place = row["place"]
        self._next_flow = now + max(1.0, 10 * (time.monotonic() - now))
        if row["moved"]:
            self.lanes.name_all()
            self.pace.at_once()

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
            self.crew.audit.forget()
            self.crew.sentinel.retake()
        claimer.epoch = epoch

    # -- what wakes us ----------------------------------------------------------------------

    def hear(self, kind: str, payload: str) -> None:
        """A notification, or a word from the sentinel; called in our loop."""
        if not hasattr(self, "crew"):  # the first look will see it all
            return
        if kind == "lane":
            self._hear_lane(payload)
        elif kind in ("reconnected", "outlived"):
            self.crew.audit.wanted = True
        elif kind in ("look", "cancel"):
            self.lanes.name_all()
            self.pace.at_once()
        self._wake.set()

    async def serve_more(self) -> None:
        """The registry has grown while we run: declare its limits, and look at its lanes."""
        await declare_limits(self.queries, self.registry)
        self._directory_at, self.pace.next_look = 0.0, 0.0
        self._wake.set()

    def _hear_lane(self, payload: str) -> None:
        self._woken = True
        self.crew.sentinel.stamp()
        if not payload:  # several lanes, or a job due soon
            self.lanes.name_all()
            self.pace.at_once()
        elif not self.lanes.name(int(payload)):
            self._strangers.add(int(payload))  # unless it is new, and ours
            self._directory_at, self.pace.next_look = 0.0, 0.0
        self.pace.hungry = True
        self.pace.stir()
        self._limited_soon()

    def slot_freed(self) -> None:
        """An attempt has ended."""
        self.crew.suspects.ended()
        if self.pace.backlog or self.options.until_empty:
            self.pace.hungry = True
            self._wake.set()
        elif self.pace.hungry or not math.isinf(self.pace.limited_at):
            self._wake.set()

    def look_now(self) -> None:
        """There may be something new to claim."""
        self.pace.at_once()
        self._wake.set()

    def written(self, entries: list[Entry]) -> None:
        """After a flush: jobs that come back soon deserve a look."""
        if any(run.limited for run, _ in entries):
            self._limited_soon()
            self._wake.set()
        if any(outcome.kind in ("retry", "snooze", "interrupted") for _, outcome in entries):
            self.look_now()
        elif self.options.until_empty:
            self._wake.set()

    def distrust(self) -> None:
        """Somebody took our lease, or the connection broke: drop marks, compare leases."""
        self.lanes.forget()
        self.crew.claimer.due = DueMark()
        self.crew.audit.wanted = True
        self._wake.set()


def cancel(runs: Iterable[Running], seen: Look) -> None:
    """Stop those whose cancellation is asked."""
    for run in [run for run in runs if run.job.id in seen.cancels]:
        run.stop("cancel", seen.cancels[run.job.id])
