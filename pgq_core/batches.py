"""Jobs that belong together: a batch with callbacks, a chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.models import EnqueuedJob, NewJob, job_of, waited_for
from pgq_core.queries import Queries
from pgq_core.queries.flow import BatchProgress

Callbacks = Sequence[tuple[NewJob | None, str]]


class Collected:
    """What a batch is made of; `id`, `job_ids` and `callback_ids` are known after its block."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.id: int | None = None
        self.job_ids: list[int] = []
        self.callback_ids: list[int] = []
        self._jobs: list[NewJob] = []
        self._callbacks = [(job, policy) for job, policy in callbacks if job is not None]

    def add(self, job: str | NewJob, payload: Any = None) -> NewJob:
        """Add a job to the batch."""
        self._jobs.append(job_of(job, payload, {}))
        return self._jobs[-1]

    def _all(self) -> list[NewJob]:
        """Its jobs, then its callbacks. Raises InvalidInput when it is empty."""
        if not self._jobs:
            raise InvalidInput("a batch needs at least one job: call batch.add(…)")
        ends = [
            replace(job, after=(*waited_for(job), *self._jobs), on_failure=policy)
            for job, policy in self._callbacks
        ]
        return [*self._jobs, *ends]

    def _made(self, made: Sequence[EnqueuedJob]) -> int | None:
        """Note their ids; returns that of the callback that belongs to the batch."""
        ids = [job.id for job in made]
        self.job_ids, self.callback_ids = ids[: len(self._jobs)], ids[len(self._jobs) :]
        return self.callback_ids[0] if self.callback_ids else None

    def _known(self) -> int:
        """Its id. Raises InvalidInput before there is one."""
        if self.id is None:
            raise InvalidInput("the batch is not enqueued yet: leave its block first")
        return self.id


class Batch(Collected):
    """Collects jobs and enqueues them together at the end of its `async with` block.

    `on_done` runs when every job has ended, whatever happened; `on_success` when all succeeded;
    `on_failure` once the first has failed. `id` and `job_ids` are known after the block.
    """

    def __init__(
        self,
        enqueue_many: Callable[..., Awaitable[list[EnqueuedJob]]],
        queries: Callable[[], Queries],
        callbacks: Callbacks,
        connection: Any = None,
    ) -> None:
        super().__init__(callbacks)
        self._enqueue_many = enqueue_many
        self._queries = queries
        self._connection = connection

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        jobs = self._all()
        if self._connection is not None:
            await self._write(jobs, self._connection)
        else:
            async with self._queries().driver.transaction() as own:
                await self._write(jobs, own)

    async def _write(self, jobs: list[NewJob], connection: Any) -> None:
        """Jobs, callbacks and the batch itself, in the transaction that is open here."""
        callback = self._made(await self._enqueue_many(jobs, connection=connection))
        self.id = await self._queries().make_batch(self.job_ids, callback, connection)

    async def progress(self) -> BatchProgress:
        """How many of its jobs have ended, and how."""
        return await self._queries().batch_progress(self._known())


class BlockingBatch(Collected):
    """The same for plain functions: a `with` block, in the transaction of a connection of yours."""

    def __init__(
        self,
        enqueue_many: Callable[..., list[EnqueuedJob]],
        queries: Queries,
        callbacks: Callbacks,
        connection: Any,
    ) -> None:
        super().__init__(callbacks)
        self._enqueue_many = enqueue_many
        self._queries = queries
        self._connection = connection

    def __enter__(self) -> BlockingBatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        callback = self._made(self._enqueue_many(self._all(), connection=self._connection))
        self.id = self._queries.make_batch_sync(self.job_ids, callback, self._connection)

    def progress(self) -> BatchProgress:
        """How many of its jobs have ended, and how, as its connection sees it."""
        return self._queries.batch_progress_sync(self._known(), self._connection)


def callbacks_of(
    on_done: NewJob | None, on_success: NewJob | None, on_failure: NewJob | None
) -> Callbacks:
    """Each with what becomes of it when a job of the batch fails."""
    return [(on_done, "run"), (on_success, "cancel"), (on_failure, "only")]


def chained(jobs: Sequence[NewJob]) -> list[NewJob]:
    """The same jobs, each waiting for the one before."""
    links: list[NewJob] = []
    for job in jobs:
        links.append(replace(job, after=(*waited_for(job), links[-1])) if links else job)
    return links
