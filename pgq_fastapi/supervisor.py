"""Runs a worker beside the app, and runs another when it dies: the app never goes down with it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from pgq_core.options import WorkerOptions

if TYPE_CHECKING:
    from pgq_core import PgQueuer
    from pgq_core.worker import Worker
    from pgq_fastapi.metrics import Metrics

log = logging.getLogger("pgq_fastapi")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY = 60.0  # seconds after which a death counts as the first again
MARGIN = 10.0  # beyond the worker's own limits, before it is left to itself


class Supervisor:
    """One worker at a time, until `stop()`."""

    def __init__(
        self, pgq: PgQueuer, options: WorkerOptions, metrics: Metrics | None = None
    ) -> None:
        self.pgq = pgq
        self.options = options
        self.metrics = metrics
        self.restarts = 0
        self.error: BaseException | None = None
        self.worker: Worker | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """'starting', 'running', 'restarting', 'stopping' or 'stopped'."""
        if self._task is None or self._task.done():
            return "stopped"
        if self._stopping.is_set():
            return "stopping"
        if hasattr(self.worker, "crew"):
            return "running"
        return "restarting" if self.worker is None and self.restarts else "starting"

    def start(self) -> None:
        """Begin, without waiting for the first worker to be there."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pgq worker")

    def stop(self, now: bool = False) -> None:
        """Claim nothing more; running jobs may end in time, with `now` they are given back."""
        self._stopping.set()
        if self.worker is not None:
            self.worker.stop(now)

    async def ended(self, patience: float) -> bool:
        """Wait for the end, so many seconds at most."""
        if self._task is None:
            return True
        await asyncio.wait([self._task], timeout=patience)
        return self._task.done()

    async def close(self) -> None:
        """Stop, and return when it has; a worker far beyond its limits is left behind."""
        self.stop()
        limit = self.options.shutdown_timeout + self.options.lease + MARGIN
        if await self.ended(limit):
            return
        self.stop(now=True)
        if not await self.ended(MARGIN) and self._task is not None:
            log.error("the worker does not end; its jobs are left to other workers")
            self._task.cancel()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            if await self._live():
                return
            pause = FIRST_PAUSE if time.monotonic() - started > STEADY else pause
            delay = pause * random.uniform(0.5, 1.0)
            log.error("the worker died; starting another in %.1f s", delay, exc_info=self.error)
            self.restarts += 1
            if self.metrics is not None:
                self.metrics.restarts.inc()
            try:
                await asyncio.wait_for(self._stopping.wait(), delay)
            except asyncio.TimeoutError:
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _live(self) -> bool:
        """One worker's life; True when it ended because it was told to."""
        try:
            self.worker = self.pgq.worker(self.options)
            await self.pgq.run_worker(self.worker)
        except Exception as error:  # noqa: BLE001  (whatever it died of, the app goes on)
            self.error = error
            return self._stopping.is_set()
        finally:
            self.worker = None
        return True
