"""A worker's desk on Django's connection: its claimer and its books, without its loop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async

from pgq_core import Context, Job, NewJob, PgQueuer
from pgq_core.executor import execute
from pgq_core.outcomes import Outcome
from pgq_core.registry import Entrypoint
from pgq_core.worker.book import Book, Running
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.completion import finish_values
from pgq_core.worker.crew import declare_limits
from pgq_core.worker.lanes import Lanes
from pgq_django import catalogue, statements
from pgq_django.schema import schema_of
from pgq_django.verbs import Verbs, at_once
from pgq_django.worker.handlers import attempt_at, names_of
from pgq_django.worker.policy import Policy, boxed


class DjangoLine:
    """What the claimer takes for its connection."""

    generation = 0

    def __init__(self, using: str) -> None:
        self.using = using

    async def call(self, statement: str, /, **values: Any) -> list[Any]:
        """Run a statement in the thread that called `async_to_sync`."""
        rows = await sync_to_async(statements.run)(self.using, statement, **values)
        return [statements.Record.of(row) for row in rows]


class Desk:
    """Claims, runs and finishes one job at a time."""

    def __init__(self, using: str, queues: list[str] | None) -> None:
        self.using = using
        self.queues = queues
        self.pgq = PgQueuer(schema=schema_of(using))
        self.book = Book()
        self.lanes = Lanes()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Register as a worker for the length of the block."""
        self._register()
        info = json.dumps({"entrypoints": sorted(self.pgq.registry.entrypoints)})
        self.worker = statements.run(
            self.using, "register_worker", name="run_pending", lease=3600.0, info=info
        )[0]["worker_id"]
        at_once(declare_limits(Verbs(self.using), self.pgq.registry))
        line: Any = DjangoLine(self.using)
        self.claimer = Claimer(self.worker, line, self.lanes, self.book, self.pgq.registry)
        try:
            yield
        finally:
            statements.run(self.using, "unregister_worker", worker=self.worker)

    def claim(self) -> Running | None:
        """One ready job, by priority."""
        rows = statements.run(
            self.using, "lanes", entrypoints=list(self.pgq.registry.entrypoints), queues=self.queues
        )
        self.lanes.learn_directory(rows, self.pgq.registry.limited)
        return async_to_sync(self._claim)()

    async def _claim(self) -> Running | None:
        runs, _ = await self.claimer.claim(self.lanes.plan(), 1, now=time.monotonic())
        if not runs and self.lanes.limited_plan():
            runs, _ = await self.claimer.claim_limited(1)
        return runs[0] if runs else None

    def execute(self, run: Running) -> Outcome:
        """Run the handler as the worker would, in this thread."""
        entry = self.pgq.registry.get(run.job.entrypoint)
        nobody: Any = None  # nor a thread: every handler registered here is a coroutine function
        verbs = Verbs(self.using)
        context = DeskContext(run, self.book, verbs, self.worker, None, self._enqueue)
        with boxed():
            outcome = async_to_sync(execute)(run, entry, (run.job, context), nobody)
        return outcome or Outcome(run.job, "lost")

    def finish(self, run: Running, outcome: Outcome) -> None:
        """Write the outcome."""
        run.ended = time.monotonic()
        statements.run(self.using, "finish", **finish_values(self.worker, run, outcome))
        self.book.settle(run.lease)

    async def _enqueue(self, target: str | NewJob, payload: Any = None, **options: Any) -> int:
        return await sync_to_async(enqueued)(self.using, target, payload, **options)

    def _register(self) -> None:
        catalogue.import_tasks_modules()
        for task in catalogue.known():
            policy = Policy(task)
            for name in names_of(policy):
                handler = here(policy, self.using)
                entry = Entrypoint(name, handler, policy.entrypoint, True, True)
                self.pgq.registry.entrypoints[name] = entry
                if policy.limited:
                    self.pgq.registry.limited.add(name)


class DeskContext(Context):
    """A context whose verbs run in the thread that holds the test's transaction."""

    _queries: Verbs

    async def results(self) -> dict[int, Any]:
        return await sync_to_async(self.results_sync)()

    def results_sync(self) -> dict[int, Any]:
        return at_once(super().results())

    def enqueue_sync(self, entrypoint: str | NewJob, payload: Any = None, **options: Any) -> int:
        return enqueued(self._queries.using, entrypoint, payload, **options)


def enqueued(using: str, target: str | NewJob, payload: Any = None, **options: Any) -> int:
    """One job, on Django's connection."""
    from pgq_django.enqueueing import enqueue_many  # noqa: PLC0415

    new = target if isinstance(target, NewJob) else NewJob(target, payload, **options)
    return enqueue_many([new], using=using)[0].id


def here(policy: Policy, using: str) -> Any:
    """A handler that runs plain tasks in the calling thread, where the test's transaction is."""

    async def handler(job: Job, context: Any) -> Any:
        attempt = await sync_to_async(attempt_at)(policy, job, context, using)
        if iscoroutinefunction(policy.task.func):
            return await attempt.arun()
        return await sync_to_async(attempt.run)()

    return handler
