"""One worker process: connect, register, run, stop in order."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections

from pgq_core import PgQueuer
from pgq_core.hooks import Hook
from pgq_core.leaving import leave_hard, stopped_by_signals
from pgq_core.logs import JobLogs
from pgq_core.memory import set_aside
from pgq_core.options import WorkerOptions
from pgq_django.schema import schema_of
from pgq_django.tracing import worker_hooks
from pgq_django.worker.discovery import Discovery
from pgq_django.worker.dsn import dsn_of
from pgq_django.worker.policy import Boxes
from pgq_django.worker.pulse import keep_health_file

log = logging.getLogger("pgq_django")


@dataclass(frozen=True)
class Settings:
    """What `manage.py pgq_worker` was told, for one process."""

    database: str = "default"
    options: WorkerOptions = field(default_factory=WorkerOptions)
    health_file: Path | None = None
    tether: int | None = None


class Process:
    """Runs until it is stopped or has nothing left to do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        hooks: list[Hook] = [Boxes(), JobLogs(), *worker_hooks(settings.database)]
        self.pgq = PgQueuer(schema=schema_of(settings.database), hooks=hooks)
        self.discovery = Discovery(
            self.pgq, settings.database, schedules=settings.options.schedules
        )
        self._loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        """Work. A plain task that does not stop keeps its thread; then this process ends hard."""
        self.discovery.begin()
        connections.close_all()
        with set_aside():
            asyncio.run(self._serve())
        if any(thread.name.startswith("pgq-handler") for thread in threading.enumerate()):
            log.error("a task does not stop; leaving without it")
            leave_hard()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self.settings.tether is not None:
            self._loop.add_reader(self.settings.tether, self._orphaned, self.settings.tether)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                self.pgq.connected(dsn_of(self.settings.database), **pooler(self.settings.database))
            )
            await self.pgq.queries.check()  # before anything else looks at the tables
            worker = self.pgq.worker(self.settings.options)
            worker.exit_hard = True
            health = keep_health_file(worker, self.settings.health_file)
            for side in (self.discovery.run(worker), health):
                task = self._loop.create_task(side)
                stack.callback(task.cancel)
            stack.enter_context(self._stopped())
            await self.pgq.run_worker(worker)
            if worker.book.running:  # else this loop would wait for them before it ends
                log.error("a task does not stop; leaving without it")
                leave_hard()

    def _stopped(self) -> AbstractContextManager[None]:
        main = threading.current_thread() is threading.main_thread()
        return stopped_by_signals(self.pgq) if main else nullcontext()

    def _orphaned(self, tether: int) -> None:
        """The supervisor is gone, however it went."""
        self._loop.remove_reader(tether)
        log.warning("the supervisor is gone: stopping")
        self.pgq.stop()


def pooler(using: str) -> dict[str, Any]:
    """Behind a pooler in transaction mode prepared statements are not ours to keep. Django's own
    setting for such a place is taken as the sign."""
    if connections[using].settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        return {"statement_cache_size": 0}
    return {}
