"""Wake, claim, run, finish."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError
from pgq_core.hooks import Hook
from pgq_core.listener import Sentinel
from pgq_core.maintenance import Rescuer, Upkeep, report
from pgq_core.options import WorkerOptions
from pgq_core.outcomes import Outcome
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.worker.attempts import Attempts
from pgq_core.worker.book import Book, Lease, Running
from pgq_core.worker.claimer import Claimer, Look
from pgq_core.worker.context import Context
from pgq_core.worker.flusher import Entry, Flusher
from pgq_core.worker.lanes import END, Lanes, Stretch
from pgq_core.worker.line import Line

log = logging.getLogger("pgq_core.worker")

FIRST_LOOK, BUSY_LOOK, FULL_LOOK = 0.005, 0.05, 0.25
LINGER = 0.002
TROUBLE = (*DISCONNECTED, asyncpg.PostgresError, DatabaseError)


class Worker:
    """One process's loop. `run()` returns when it was stopped, or has emptied the queue."""

    def __init__(
        self,
        queries: Queries,
        registry: Registry,
        options: WorkerOptions,
        *,
        resources: Any = None,
        enqueue: Callable[..., Awaitable[Any]],
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.queries = queries
        self.registry = registry
        self.options = options
        self.lanes = Lanes()
        self.book = Book()
        self.exit_hard = False
        self.resources = resources
        self._enqueue = enqueue
        self._hooks = hooks
        self._wake = asyncio.Event()
        self._stopping = False
        self._hurry = asyncio.Event()
        self._hungry = True
        self._backlog = False
        self._woken = False
        self._audit = True
        self._directory_at = 0.0
        self._delay = FIRST_LOOK
        self._next_look = 0.0
        self._next_sweep = 0.0
        self._progress_at = 0.0
        self._last_lease = 0
        self._suspects_since: float | None = None
        self._alone: Running | None = None
        self._rescuer = Rescuer()
        self._queues = None if options.queues is None else list(options.queues)

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until stopped. Being cancelled stops it too, in order, within the time limit."""
        await self._open()
        try:
            while not self._over():
                await self._step()
        except asyncio.CancelledError:
            self.stop()
            raise
        finally:
            await self._close()

    def stop(self, now: bool = False) -> None:
        """Claim nothing more; let running jobs finish up to the limit, or with `now` stop them."""
        self._stopping = True
        if now:
            self._hurry.set()
        self._wake.set()

    async def _step(self) -> None:
        """Claim what fits, start it, sleep until there is a reason to look again."""
        self._wake.clear()  # before claiming: a wake-up during the claim must not be lost
        self._tick()
        try:
            await self._inspect_own_leases()
            await self._claim()
        except TROUBLE as error:
            self._hungry, self._audit = True, True
            await self.claimer.line.pause(error)
        if not self._hungry or self._free() <= 0:
            await self._sleep()

    def _over(self) -> bool:
        if self._flush_task.done():
            self._flush_task.result()
        return self._stopping or self._done_for()

    def _done_for(self) -> bool:
        limit = self.options.max_jobs
        if limit is not None and self.attempts.started >= limit:
            return True
        return self.options.until_empty and self._drained

    async def _sleep(self) -> None:
        """Until something wakes us or the next look is due."""
        left = self._next_look - time.monotonic()
        if left > 0 and not self._stopping:
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except asyncio.TimeoutError:
                pass

    # -- claiming ---------------------------------------------------------------------------

    def _free(self) -> int:
        """Free slots; none while a suspect runs alone, or while outcomes pile up unwritten."""
        if self._alone is not None or self._draining():
            return 0
        free = self.options.concurrency - len(self.book.running)
        if self.flusher.backlog > 2 * self.options.concurrency + 1000:
            return 0
        if self.options.max_jobs is not None:
            free = min(free, self.options.max_jobs - self.attempts.started)
        return min(free, self.options.batch_size or free)

    async def _claim(self) -> None:
        now = time.monotonic()
        free = self._free()
        look = now >= self._next_look
        if not look and (free <= 0 or not self._hungry):
            return
        if self._backlog and not look and await self._linger(free):
            free = self._free()
        if look and now - self._directory_at > 1.0:
            await self._read_directory()
        plan = self.lanes.plan() if free > 0 else []
        idle = free > 0 and not self._backlog
        runs, seen = await self.claimer.claim(plan, max(free, 0), now=now, look=look, idle=idle)
        self._start(runs)
        self._judge_claim(len(runs), free, look)
        if seen is not None:
            await self._learn(seen, free)
        if free > len(runs):
            await self._sweep(free - len(runs))

    def _judge_claim(self, got: int, free: int, look: bool) -> None:
        """Decide when to look next: at once after a full claim, else with a growing pause."""
        self._backlog = 0 < free <= got
        self._hungry = self._backlog
        if self._woken:
            if free <= 0 or self._backlog:
                self.sentinel.forward()
            self._woken = False
        now = time.monotonic()
        if got:
            self._delay = FIRST_LOOK
        elif look:
            self._delay = min(self._delay * 1.5, self.options.idle_look)
        if free <= 0:
            self._next_look = now + FULL_LOOK
        elif self._backlog:
            self._next_look = min(max(self._next_look, now), now + BUSY_LOOK) if not look else now + BUSY_LOOK
        else:
            self._next_look = now + self._delay
        self._drained = look and not got and free > 0 and not self.book.running and self.flusher.idle

    async def _linger(self, free: int) -> bool:
        """With a backlog known, wait a moment for more free slots: bigger claims cost less."""
        want = max(1, self.options.concurrency // 4)
        if free >= want or not self.book.running:
            return False
        end = time.monotonic() + LINGER
        while self._free() < want and (left := end - time.monotonic()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except asyncio.TimeoutError:
                break
        return True

    async def _sweep(self, free: int) -> None:
        """Look between floor and window, at most a tenth of the time, at least 5 ms apart."""
        started = time.monotonic()
        if started < self._next_sweep or not (plan := self.lanes.sweep_plan()):
            return
        runs, _ = await self.claimer.claim(plan, free, now=started)
        self._start(runs)
        now = time.monotonic()
        self._next_sweep = now + max(0.005, 9 * (now - started))
        self._next_look = min(self._next_look, self._next_sweep + self._delay)

    def _start(self, runs: list[Running]) -> None:
        for run in runs:
            self._last_lease = max(self._last_lease, run.lease.id)
            self.attempts.start(run)

    async def _read_directory(self) -> None:
        self._directory_at = time.monotonic()
        rows = await self.claimer.line.call(
            "lanes", entrypoints=list(self.registry.entrypoints), queues=self._queues
        )
        self.lanes.learn_directory(rows)

    # -- what a look tells ------------------------------------------------------------------

    async def _learn(self, seen: Look, free: int) -> None:
        now = time.monotonic()
        if seen.epoch != self.claimer.epoch:
            self._new_epoch(seen.epoch)
        if seen.newest_lane != self.lanes.newest:
            self.lanes.newest = seen.newest_lane
            await self._read_directory()
            self._hungry = True
        self.lanes.pause(seen.paused)
        for job_id, reason in seen.cancels.items():
            if job_id in self.book.running:
                self.book.running[job_id].stop("cancel", reason)
        if seen.promoted:
            self.lanes.name_all()
            self._hungry = True
        if seen.due is not None:
            self._next_look = min(self._next_look, now + max(0.0, seen.due))
        dead = self._rescuer.overdue(seen.gone, seen.stale, now)
        if dead:
            report(await self.claimer.line.call("rescue", workers=dead))
            self.lanes.name_all()
            self._hungry = True
        elif (again := self._rescuer.next_look(now)) is not None:
            self._next_look = min(self._next_look, again)
        await self._take_suspect(seen.alone, now)
        if self._hungry or seen.alone:
            self._drained = False

    def _new_epoch(self, epoch: str) -> None:
        """After a server restart what we remember is void: marks, lease numbers, the lock."""
        if self.claimer.epoch:
            log.warning("the server was restarted; looking at everything anew")
            self.lanes.forget()
            self._audit, self._last_lease = True, 0
            self.sentinel.beat_now()
        self.claimer.epoch = epoch

    async def _take_suspect(self, waiting: bool, now: float) -> None:
        """A job that has seen two workers die runs with nothing beside it. Whoever is idle takes it;
        when nobody is for 5 s, workers stop claiming until they are, for 30 s at most."""
        if not waiting:
            self._suspects_since = None
            return
        self._suspects_since = self._suspects_since or now
        if self.book.running or self._stopping or self._alone is not None:
            return
        plan = [Stretch(lane, 0, END) for lane in self.lanes.of_kind("alone")]
        runs, _ = await self.claimer.claim(plan, 1, now=now)
        self._suspects_since = None
        if runs:
            self._alone = runs[0]
            self._start(runs)
        self._hungry = True

    def _draining(self) -> bool:
        waited = 0.0 if self._suspects_since is None else time.monotonic() - self._suspects_since
        return 5.0 < waited < 35.0

    # -- events -----------------------------------------------------------------------------

    def _hear(self, kind: str, payload: str) -> None:
        """A notification or a word from the sentinel; runs in our loop."""
        if kind == "lane":
            self._woken = True
            self.sentinel.stamp()
            if not payload:
                self.lanes.name_all()
            elif not self.lanes.name(int(payload)):
                self._directory_at = 0.0
                self._next_look = 0.0
            self._hungry = True
        elif kind in ("reconnected", "outlived"):
            self._audit = True
        if kind in ("look", "cancel"):
            self.lanes.name_all()
            self._hungry, self._next_look = True, 0.0
        if kind != "done":
            self._wake.set()

    def _slot_freed(self) -> None:
        if self._alone is not None and not self.book.running:
            self._release_alone()
        if self._backlog or self.options.until_empty:
            self._hungry = True
            self._wake.set()

    def _release_alone(self) -> None:
        """Let others run again once the suspect's outcome is written."""

        async def release() -> None:
            await self.flusher.drained()
            self._alone = None
            self._hungry, self._next_look = True, 0.0
            self._wake.set()

        self._releasing = asyncio.get_running_loop().create_task(release())

    def _fenced(self) -> None:
        """An outcome was refused: somebody took our lease. Trust nothing remembered."""
        self.lanes.forget()
        self._audit = True
        self._wake.set()

    def _tick(self) -> None:
        """Tell the sentinel that the loop turns; stop everything when we cannot beat."""
        now = time.monotonic()
        pulse = self.sentinel.pulse
        pulse.ticked, pulse.running = now, len(self.book.running)
        if now - pulse.beaten > 0.8 * self.options.lease and self.book.running:
            log.error("no beat for %.1f s: stopping our jobs before the lease ends", now - pulse.beaten)
            self.attempts.stop_all("shutdown", "the database could not be reached")

    async def _ticker(self) -> None:
        """Beats on while the main loop waits; writes progress once a second."""
        while True:
            await asyncio.sleep(0.25)
            self._tick()
            now = time.monotonic()
            if now - self._progress_at >= 1.0:
                self._progress_at = now
                await self._write_progress()

    async def _write_progress(self) -> None:
        for run in list(self.book.running.values()):
            if run.progress is not None:
                (fraction, message), run.progress = run.progress, None
                try:
                    await self.queries.call("progress", id=run.job.id, attempt=run.job.attempt,
                                            fraction=fraction, message=message)  # fmt: skip
                except TROUBLE as error:
                    log.warning("job %d: progress not written: %s", run.job.id, error)

    # -- own leases -------------------------------------------------------------------------

    async def _inspect_own_leases(self) -> None:
        """After a reconnect and once per lease time: stop what we lost, give back what we never
        heard of. No claim is in flight here, so a lease we do not know is an answer that was lost."""
        now = time.monotonic()
        if self.claimer.reconnected:
            self.lanes.forget()
            self._audit = True
        if not self._audit and now - self._audited_at < self.options.lease:
            return
        rows = await self.claimer.line.call(
            "own_leases", worker=self.claimer.worker_id, lowest=self.book.lowest or self._last_lease
        )
        self._audit, self._audited_at = False, now
        known = {(row["lease_id"], row["token"]) for row in rows}
        for run in self.book.hopeless(known):
            if not run.completed:
                log.warning("job %d: lease lost, stopping attempt %d", run.job.id, run.job.attempt)
                run.stop("lost")
        for row in rows:
            if row["lease_id"] not in self.book.leases:
                await self._give_back(row)

    async def _give_back(self, row: Any) -> None:
        """Return the jobs of a lease whose claim we never heard of: they were never started."""
        lease = Lease(row["lease_id"], row["token"], len(row["job_ids"]), len(row["job_ids"]))
        lanes = {
            found["id"]: found["lane_id"]
            for found in await self.claimer.line.call("job_lanes", jobs=row["job_ids"], kind="plain")
        }
        for job_id, attempt, spent, crashes in zip(
            row["job_ids"], row["attempts"], row["spent"], row["crashes"]
        ):
            run = Running(_stub(job_id, attempt), lease, lanes.get(job_id, 0), spent, crashes, 0)
            run.started = run.ended = 0.0
            self.flusher.add(run, Outcome(run.job, "interrupted", None, None, 0.0, spent, crashes))
        self.book.leases[lease.id] = lease

    # -- opening and closing ----------------------------------------------------------------

    async def _open(self) -> None:
        await self.queries.check()
        options = self.options
        info = {
            "entrypoints": sorted(self.registry.entrypoints),
            "queues": self._queues,
            "concurrency": options.concurrency,
        }
        self.sentinel = Sentinel(self.queries, options.lease, info, self._hear, options.listen)
        worker_id = (await self.sentinel.start()).worker_id
        self.worker_id = worker_id
        self.flusher = Flusher(
            worker_id, Line(self.queries, "flush", options.lease), self.book, self._fenced
        )
        self.flusher.on_written = self._written
        self.claimer = Claimer(
            worker_id, Line(self.queries, "claim", options.lease), self.lanes, self.book, self.registry
        )
        self.attempts = Attempts(
            self.registry, self.book, self.flusher, self._context, self._slot_freed, self._hooks,
            options.threads or options.concurrency,
        )  # fmt: skip
        self._audited_at = time.monotonic()
        self._audit = False
        self._drained = False
        loop = asyncio.get_running_loop()
        self._flush_task = loop.create_task(self.flusher.run())
        upkeep = Upkeep(self.queries, options.prune)
        self._tasks = [loop.create_task(upkeep.run()), loop.create_task(self._ticker())]
        log.info("worker %d started: %s", worker_id, info)
        await self._first_look()

    async def _first_look(self) -> None:
        """Learn lanes and pause flags before anything is claimed."""
        while not self._stopping:
            try:
                await self._read_directory()
                self.claimer.reconnected  # noqa: B018  (the first connection is no reconnect)
                _, seen = await self.claimer.claim([], 0, now=time.monotonic(), look=True)
                if seen is not None:
                    self.lanes.newest = seen.newest_lane
                    await self._learn(seen, 0)
                return
            except TROUBLE as error:
                await self.claimer.line.pause(error)

    def _context(self, run: Running) -> Context:
        return Context(
            run, self.book, self.queries, self.worker_id, self.resources, self._enqueue
        )

    def _written(self, entries: list[Entry]) -> None:
        """After a flush: jobs that come back soon deserve a look."""
        if any(outcome.kind in ("retry", "snooze", "interrupted") for _, outcome in entries):
            self._hungry, self._next_look = True, 0.0
        if self.options.until_empty or self._hungry:
            self._wake.set()

    async def _close(self) -> None:
        """Running jobs get their time, then are cancelled and given back; then say goodbye."""
        self._stopping = True
        hurry = asyncio.get_running_loop().create_task(self._hurry.wait())
        calm = asyncio.get_running_loop().create_task(
            self.attempts.finished(self.options.shutdown_timeout)
        )
        await asyncio.wait({hurry, calm}, return_when=asyncio.FIRST_COMPLETED)
        for task in (hurry, calm):
            task.cancel()
        stubborn: list[Running] = []
        if self.book.running:
            self.attempts.stop_all("shutdown", "the worker is stopping")
            if not await self.attempts.finished(5.0 if not self._hurry.is_set() else 1.0):
                stubborn = list(self.book.running.values())
                if self.exit_hard:
                    self.attempts.give_back_stubborn()
        await self._flush_last()
        for task in (*self._tasks, self._flush_task):
            task.cancel()
        await asyncio.gather(*self._tasks, self._flush_task, return_exceptions=True)
        if not stubborn or self.exit_hard:
            await self._leave()
        await self.sentinel.stop()
        await self.claimer.line.close()
        await self.flusher.line.close()
        self.attempts.close()
        for run in stubborn:
            log.error("job %d does not stop; it is left behind", run.job.id)

    async def _flush_last(self) -> None:
        try:
            await asyncio.wait_for(self.flusher.drained(), self.options.lease)
        except asyncio.TimeoutError:
            log.error("outcomes could not be written before the end; other workers take over")

    async def _leave(self) -> None:
        try:
            await self.flusher.line.call("unregister_worker", worker=self.worker_id)
        except TROUBLE as error:
            log.warning("could not sign off: %s", error)


def _stub(job_id: int, attempt: int) -> Any:
    """Just enough of a job to give it back."""
    from pgq_core.models import Job, JobState

    now: Any = None
    return Job(job_id, "", "", 0, attempt, 0, b"", {}, now, None, JobState.READY)
