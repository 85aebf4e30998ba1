"""Everything a worker opens at the start and closes at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from pgq_core.db import DISCONNECTED, connector
from pgq_core.errors import DatabaseError
from pgq_core.listener import Sentinel
from pgq_core.maintenance import Orphans, Upkeep
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.worker.attempts import Attempts
from pgq_core.worker.audit import Audit
from pgq_core.worker.book import Running
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.context import Context
from pgq_core.worker.flusher import Flusher
from pgq_core.worker.line import Line
from pgq_core.worker.others import Others
from pgq_core.worker.suspects import Suspects
from pgq_core.worker.timetable import Timetable

if TYPE_CHECKING:
    from pgq_core.worker.worker import Worker

log = logging.getLogger("pgq_core.worker")

TROUBLE = (*DISCONNECTED, asyncpg.PostgresError, DatabaseError)
LAST_WORDS = 5.0  # seconds a cancelled handler has to end


class Crew:
    """The parts around the loop: sentinel, claimer, flusher, attempts, and tasks that tick."""

    def __init__(self, worker: Worker, sentinel: Sentinel) -> None:
        queries, options, book = worker.queries, worker.options, worker.book
        self.worker = worker
        self.sentinel = sentinel
        self.worker_id = sentinel.identity.worker_id
        self.flusher = Flusher(
            self.worker_id, Line(queries, "flush", options.lease), book, worker.distrust
        )
        self.flusher.on_written = worker.written
        self.claimer = Claimer(
            self.worker_id, Line(queries, "claim", options.lease), worker.lanes, book,
            worker.registry,
        )  # fmt: skip
        # A wake-up must find the flag of a worker that sleeps until its next look.
        self.claimer.idle_ms = max(3000, int(4000 * options.idle_look))
        self.audit = Audit(self.claimer, self.flusher, options.lease)
        self.others = Others(self.worker_id, self.claimer.line)
        self.suspects = Suspects(self.claimer, self.flusher, worker.look_now)
        self.timetable = Timetable(self.claimer, worker.registry, options.schedules)
        self.attempts = Attempts(
            worker.registry, book, self.flusher, self._context, worker.slot_freed, worker.hooks,
            options.threads or options.concurrency,
        )  # fmt: skip
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, worker: Worker) -> Crew:
        """Check the schema, register the process, start the tasks."""
        await worker.queries.check()
        options = worker.options
        info = info_of(worker)
        direct = None if options.listen_dsn is None else connector(options.listen_dsn)
        sentinel = Sentinel(
            worker.queries, options.lease, info, worker.ear.hear, options.listen, direct
        )
        await sentinel.start()
        try:
            crew = cls(worker, sentinel)
            await crew.timetable.declare(worker.queries)
            await declare_limits(worker.queries, worker.registry)
        except BaseException:
            await sentinel.stop()
            raise
        upkeep, orphans = Upkeep(worker.queries, options), Orphans(worker.queries, options.lease)
        crew._spawn(crew.flusher.run(), upkeep.run(), orphans.run(), crew._tick(), crew._report())
        log.info("worker %d started: %s", crew.worker_id, info)
        return crew

    def check(self) -> None:
        """Raise what a task of ours died of."""
        for task in self._tasks:
            if task.done():
                task.result()

    def _spawn(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(coroutine) for coroutine in coroutines]

    def _context(self, run: Running) -> Context:
        worker = self.worker
        return Context(
            run, worker.book, worker.queries, self.worker_id, worker.resources, worker.enqueue
        )

    # -- ticking ----------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Four times a second tell the sentinel that the loop turns."""
        while True:
            self._pulse()
            await asyncio.sleep(0.25)

    async def _report(self) -> None:
        """Once a second write progress; a task of its own, for it may wait for a connection."""
        while True:
            await self._write_progress()
            await asyncio.sleep(1)

    @property
    def silent(self) -> bool:
        """Whether our lease may soon be over, because the database has not heard our beats."""
        silence = time.monotonic() - self.sentinel.pulse.beaten
        return silence > 0.8 * self.worker.options.lease

    def _pulse(self) -> None:
        """A process that cannot beat stops its own jobs before its lease ends."""
        now, pulse, running = time.monotonic(), self.sentinel.pulse, self.worker.book.running
        pulse.ticked, pulse.running = now, len(running)
        if running and self.silent:
            log.error("no beat for %.1f s: stopping our jobs before the lease ends",
                      now - pulse.beaten)  # fmt: skip
            self.attempts.stop_all("shutdown", "the database could not be reached")

    async def _write_progress(self) -> None:
        for run in [run for run in self.worker.book.running if run.progress is not None]:
            (fraction, message), run.progress = run.progress or (None, None), None
            try:
                await self.worker.queries.call(
                    "progress", id=run.job.id, attempt=run.job.attempt, fraction=fraction,
                    message=message,
                )  # fmt: skip
            except TROUBLE as error:
                log.warning("job %d: progress not written: %s", run.job.id, error)

    # -- closing ----------------------------------------------------------------------------

    async def close(self, hurry: asyncio.Event) -> None:
        """Running jobs get their time, then are cancelled and given back; then say goodbye."""
        stubborn = await self._wind_down(hurry)
        try:
            await asyncio.wait_for(self._settle(), self.worker.options.lease)
        except asyncio.TimeoutError:
            log.error("outcomes could not be written before the end; other workers take over")
        await end(self._tasks)
        await self.sentinel.stop()  # first: a beat after the goodbye would bring our row back
        if not stubborn or self.worker.exit_hard:
            await self._sign_off()
        await self.claimer.line.close()
        await self.flusher.line.close()
        self.attempts.close()

    async def _wind_down(self, hurry: asyncio.Event) -> list[Running]:
        """Returns the attempts that do not end, however they are asked."""
        loop = asyncio.get_running_loop()
        patience = [
            loop.create_task(hurry.wait()),
            loop.create_task(self.attempts.finished(self.worker.options.shutdown_timeout)),
        ]
        await asyncio.wait(patience, return_when=asyncio.FIRST_COMPLETED)
        for task in patience:
            task.cancel()
        if not self.worker.book.running:
            return []
        if not hurry.is_set():
            log.warning(
                "%d still running after %g s: giving back what does not finish now",
                len(self.worker.book.running),
                self.worker.options.shutdown_timeout,
            )
        self.attempts.stop_all("shutdown", "the worker is stopping")
        if await self.attempts.finished(LAST_WORDS if not hurry.is_set() else 1.0):
            return []
        stubborn = list(self.worker.book.running)
        for run in stubborn:
            log.error("job %d does not stop; it is left behind", run.job.id)
        if self.worker.exit_hard:
            self.attempts.give_back_stubborn()
        return stubborn

    async def _settle(self) -> None:
        """Write what is left, and give back what the database says we hold beyond that."""
        await self.flusher.drained()
        try:
            await self.audit.run()
        except TROUBLE as error:
            log.warning("could not compare leases at the end: %s", error)
        await self.flusher.drained()

    async def _sign_off(self) -> None:
        try:
            await self.flusher.line.call("unregister_worker", worker=self.worker_id)
            await self.flusher.line.call("pass_on", worker=self.worker_id)
        except TROUBLE as error:
            log.warning("could not sign off: %s", error)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended. Once may not do: asyncpg, told so while it tries to
    connect, may say that the server is unreachable instead."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


async def declare_limits(queries: Queries, registry: Registry) -> None:
    """Tell the database the limits of this process's code, and which entrypoints have none."""
    limited = [entry for entry in registry if entry.name in registry.limited]
    rates = [entry.options.rate for entry in limited]
    await queries.call(
        "declare_limits",
        unlimited=[entry.name for entry in registry if entry.name not in registry.limited],
        entrypoints=[entry.name for entry in limited],
        concurrencies=[entry.options.concurrency_limit for entry in limited],
        rates=[rate and rate.count for rate in rates],
        periods=[rate and rate.period for rate in rates],
        bursts=[rate.burst if rate else 1 for rate in rates],
        per_keys=[rate is not None and rate.per_key for rate in rates],
    )


def info_of(worker: Worker) -> dict[str, Any]:
    """What its row says of a worker: whom it serves, and how."""
    options, registry = worker.options, worker.registry
    return {
        "entrypoints": sorted(registry.entrypoints),
        "queues": None if options.queues is None else list(options.queues),
        "concurrency": options.concurrency,
        "schedules": sorted(registry.schedules),
    }
