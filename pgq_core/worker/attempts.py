"""The attempts that run in this process: start them, stop them, hand their outcomes on."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pgq_core.executor import execute, interrupted
from pgq_core.hooks import Hook, around
from pgq_core.outcomes import Outcome
from pgq_core.registry import Entrypoint, Registry
from pgq_core.worker.book import Book, Running
from pgq_core.worker.flusher import Flusher
from pgq_core.worker.threads import Threads

log = logging.getLogger("pgq_core.worker")

Task = asyncio.Task[None]
MakeContext = Callable[[Running], Any]


if sys.version_info >= (3, 12):

    def begin(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Task:
        """A task that runs at once up to its first wait: a job that never waits costs no turn."""
        return asyncio.Task(work, loop=loop, eager_start=True)

else:

    def begin(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Task:
        """A task."""
        return loop.create_task(work)


class Attempts:
    """Owns one task per running attempt."""

    def __init__(
        self,
        registry: Registry,
        book: Book,
        flusher: Flusher,
        context: MakeContext,
        slot_freed: Callable[[], None],
        hooks: Sequence[Hook],
        threads: int,
    ) -> None:
        self.registry = registry
        self.book = book
        self.flusher = flusher
        self.started = 0
        self._context = context
        self._slot_freed = slot_freed
        self._hooks = hooks
        self._threads = Threads(threads)
        self._loop = asyncio.get_running_loop()
        self._none_left = asyncio.Event()
        self._none_left.set()

    def start(self, run: Running) -> None:
        """Begin an attempt; a job whose entrypoint is unknown here is given back for later."""
        entry = self.registry.entrypoints.get(run.job.entrypoint)
        if entry is None:
            run.ended = run.started
            self.flusher.add(run, Outcome(run.job, "interrupted", None, None, 10.0,
                                          run.spent, run.crashes))  # fmt: skip
            return
        self.started += 1
        self.book.running.add(run)
        self._none_left.clear()
        run.keep = begin(self._attempt(run, entry), self._loop)

    async def _attempt(self, run: Running, entry: Entrypoint) -> None:
        run.task = asyncio.current_task()
        timer = self._limit(run, entry)
        arguments = (run.job, self._context(run)) if entry.wants_context else (run.job,)
        outcome: Outcome | None = None
        try:
            if self._hooks:
                with around(self._hooks, run.job):
                    outcome = await execute(run, entry, arguments, self._threads)
            else:
                outcome = await execute(run, entry, arguments, self._threads)
        except BaseException:  # a hook that raises must not take the worker along
            log.exception("job %d: a hook failed", run.job.id)
            outcome = outcome or interrupted(run)
        finally:
            if timer is not None:
                timer.cancel()
            self._end(run, outcome)

    def _limit(self, run: Running, entry: Entrypoint) -> asyncio.TimerHandle | None:
        limit = run.job.timeout or entry.options.timeout
        if limit is None:
            return None
        return self._loop.call_later(limit, run.stop, "timeout")

    def _end(self, run: Running, outcome: Outcome | None) -> None:
        run.ended = time.monotonic()
        self.book.running.discard(run)
        if run.completed:
            if outcome is None or outcome.kind != "succeeded":
                log.warning("job %d was completed by its transaction, then raised", run.job.id)
            outcome = Outcome(run.job, "succeeded")
        elif outcome is None:  # not ours any more; if that is wrong, the audit gives it back
            self.book.settle(run.lease)
            self.flusher.fenced()
        else:
            self.flusher.add(run, outcome)
        self._tell_hooks(run, outcome or Outcome(run.job, "lost"))
        if not self.book.running:
            self._none_left.set()
        self._slot_freed()

    def _tell_hooks(self, run: Running, outcome: Outcome) -> None:
        if run.told:
            return
        run.told = True
        for hook in self._hooks:
            try:
                hook.finished(run.job, outcome, run.ended - run.started)
            except Exception:
                log.exception("job %d: a hook failed", run.job.id)

    def stop_all(self, why: str, reason: str | None = None) -> None:
        """Ask every running attempt to stop."""
        for run in list(self.book.running):
            run.stop(why, reason)

    async def finished(self, timeout: float) -> bool:
        """Wait until nothing runs; False when the time is over."""
        try:
            await asyncio.wait_for(self._none_left.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    def give_back_stubborn(self) -> list[Running]:
        """Write `interrupted` for attempts that do not stop; only for a process about to exit."""
        left = [run for run in self.book.running if not run.completed]
        for run in left:
            run.ended = time.monotonic()
            outcome = interrupted(run)
            self.flusher.add(run, outcome)
            self._tell_hooks(run, outcome)
        return left

    def close(self) -> None:
        """Let the threads end by themselves."""
        self._threads.close()
