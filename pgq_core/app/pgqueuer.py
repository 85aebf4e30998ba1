"""`PgQueuer`, and how it runs what is registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from pgq_core.app.registering import Registering
from pgq_core.options import WorkerOptions
from pgq_core.worker import Worker


class PgQueuer(Registering):
    """A registry of handlers, bound to a database now or later.

    `max_depth`: per queue, how many jobs may wait before enqueue raises QueueFull.
    `resources`: an object handed to every handler as `context.resources`, or a function that gives
    an async context manager, entered while a worker runs. `hooks`: see `pgq_core.hooks`.
    """

    _worker: Worker | None = None
    _stop_requested = False

    async def run(
        self,
        *,
        concurrency: int = 100,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        batch_size: int | None = None,
        shutdown_timeout: float = 30.0,
        until_empty: bool = False,
        **options: Any,
    ) -> None:
        """Run jobs until `stop()` is called, the task is cancelled, or `until_empty` holds.

        `until_empty`: no job served here is due, and none is held by a worker that has died; what
        runs on workers that live, is due later or is paused is not waited for. At most
        `concurrency` at a time; never more are claimed than can start. Further options:
        `lease`, `listen`, `threads`, `max_jobs`, see `WorkerOptions`. Raises SchemaMissing,
        SchemaOutdated or DatabaseUnreachable before anything runs.
        """
        worker = self.worker(
            WorkerOptions(
                concurrency=concurrency, queues=queues, batch_size=batch_size,
                shutdown_timeout=shutdown_timeout, until_empty=until_empty, **options,
            )
        )  # fmt: skip
        await self.run_worker(worker)

    def worker(self, options: WorkerOptions) -> Worker:
        """A worker for what is registered here."""
        return Worker(self.queries, self.registry, options, enqueue=self.enqueue, hooks=self.hooks)

    async def run_worker(self, worker: Worker) -> None:
        """Run a worker with the resources open."""
        async with AsyncExitStack() as stack:
            resources = self.resources
            if callable(resources):
                resources = await stack.enter_async_context(resources())
            worker.resources = resources
            self._worker = worker
            try:
                if not self._stop_requested:
                    await worker.run()
            finally:
                self._worker, self._stop_requested = None, False

    def stop(self, now: bool = False) -> None:
        """Stop claiming; running jobs may finish in time, with `now` they are given back."""
        if self._worker is None:
            self._stop_requested = True
        else:
            self._worker.stop(now)
