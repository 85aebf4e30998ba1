"""`.call` runs a task without a queue: the job and the context it is handed then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from pgq_core.models import Job, JobState, NewJob
from pgq_core.queries import Queries
from pgq_core.worker.book import Book, Lease, Running
from pgq_core.worker.context import Context


class Rehearsal(Context):
    """A context without a job in the database: `transaction()` completes nothing."""

    async def _complete(self, connection: Any, result: Any) -> None:
        """There is no lease to check and no outcome to write."""


def rehearsed_job(job: NewJob) -> Job:
    """A job as its first attempt would see it, with the id 0."""
    return Job(
        id=0,
        queue=job.queue or "default",
        entrypoint=job.entrypoint,
        priority=5 if job.priority is None else job.priority,
        attempt=1,
        max_attempts=job.max_attempts or 5,
        payload=job.payload,
        headers=dict(job.headers or {}),
        created_at=datetime.now(timezone.utc),
        run_at=None,
        state=JobState.RUNNING,
        timeout=job.timeout,
        unique_key=job.unique_key,
        concurrency_key=job.concurrency_key,
    )


def rehearsed_context(
    job: Job, queries: Queries | None, resources: Any, enqueue: Callable[..., Awaitable[Any]]
) -> Context:
    """The context around it."""
    run = Running(job, Lease(0, 0, 1, 1), 0, 0, 0, job.max_attempts or 5)
    missing: Any = None
    return Rehearsal(run, Book(), queries or missing, 0, resources, enqueue)


@asynccontextmanager
async def opened(resources: Any) -> AsyncIterator[Any]:
    """What `PgQueuer(resources=…)` gives to handlers."""
    if not callable(resources):
        yield resources
        return
    async with resources() as given:
        yield given
