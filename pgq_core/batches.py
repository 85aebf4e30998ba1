"""Jobs that belong together: a batch with callbacks, a chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.models import EnqueuedJob, NewJob, waited_for
from pgq_core.queries import Queries
from pgq_core.queries.flow import BatchProgress

EnqueueMany = Callable[..., Awaitable[list[EnqueuedJob]]]


class Batch:
    """Collects jobs and enqueues them together at the end of its `async with` block.

    `on_done` runs when every job has ended, whatever happened; `on_success` when all succeeded;
    `on_failure` once the first has failed. `id` and `job_ids` are known after the block.
    """

    def __init__(
        self,
        enqueue_many: EnqueueMany,
        queries: Callable[[], Queries],
        callbacks: Sequence[tuple[NewJob | None, str]],
        connection: Any = None,
    ) -> None:
        self.id: int | None = None
        self.job_ids: list[int] = []
        self.callback_ids: list[int] = []
        self._jobs: list[NewJob] = []
        self._enqueue_many = enqueue_many
        self._queries = queries
        self._callbacks = [(job, policy) for job, policy in callbacks if job is not None]
        self._connection = connection

    def add(self, job: str | NewJob, payload: Any = None) -> NewJob:
        """Add a job to the batch."""
        self._jobs.append(job if isinstance(job, NewJob) else NewJob(job, payload))
        return self._jobs[-1]

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self._enqueue()

    async def _enqueue(self) -> None:
        if not self._jobs:
            raise InvalidInput("a batch needs at least one job: call batch.add(…)")
        ends = [
            replace(job, after=(*waited_for(job), *self._jobs), on_failure=policy)
            for job, policy in self._callbacks
        ]
        if self._connection is not None:
            await self._write(ends, self._connection)
        else:
            async with self._queries().driver.transaction() as own:
                await self._write(ends, own)

    async def _write(self, ends: list[NewJob], connection: Any) -> None:
        """Jobs, callbacks and the batch itself, in the transaction that is open here."""
        made = await self._enqueue_many([*self._jobs, *ends], connection=connection)
        ids = [job.id for job in made]
        self.job_ids, self.callback_ids = ids[: len(self._jobs)], ids[len(self._jobs) :]
        callback = self.callback_ids[0] if self.callback_ids else None
        self.id = await self._queries().make_batch(self.job_ids, callback, connection)

    async def progress(self) -> BatchProgress:
        """How many of its jobs have ended, and how."""
        if self.id is None:
            raise InvalidInput("the batch is not enqueued yet: leave its block first")
        return await self._queries().batch_progress(self.id)


def chained(jobs: Sequence[NewJob]) -> list[NewJob]:
    """The same jobs, each waiting for the one before."""
    links: list[NewJob] = []
    for job in jobs:
        links.append(replace(job, after=(*waited_for(job), links[-1])) if links else job)
    return links
