"""Enqueueing for plain functions, on a connection whose statements block."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pgq_core.app.preparing import Preparing
from pgq_core.batches import BlockingBatch, callbacks_of, chained
from pgq_core.models import EnqueuedJob, Fellows, NewJob, job_of
from pgq_core.tasks import JobSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Blocking(Preparing):
    """The verbs of `Enqueueing` that need no event loop."""

    def enqueue_sync(
        self,
        entrypoint: str | NewJob,
        payload: Any = None,
        *,
        connection: Any,
        check: bool = True,
        patience: float = 0.0,
        **settings: Unpack[JobSettings],
    ) -> int:
        """`enqueue` for plain functions, in a psycopg connection's or a Session's transaction."""
        job = job_of(entrypoint, payload, settings)
        made = self.enqueue_many_sync([job], connection=connection, check=check, patience=patience)
        return made[0].id

    def enqueue_many_sync(
        self,
        jobs: Iterable[NewJob],
        *,
        connection: Any,
        check: bool = True,
        patience: float = 0.0,
    ) -> list[EnqueuedJob]:
        """`enqueue_many` for plain functions: psycopg, or a Session or Connection of SQLAlchemy."""
        fellows, queries = Fellows(jobs), self.queries_on(connection)
        rows = self.prepare_all(fellows, check)
        if not self.pressure.max_depth:
            return queries.insert_sync(rows, connection)
        self.pressure.admit_sync(rows, partial(queries.depth_sync, on=connection), patience)
        try:
            return queries.insert_sync(rows, connection)
        finally:
            self.pressure.landed(rows)

    def batch_sync(
        self,
        *,
        on_done: NewJob | None = None,
        on_success: NewJob | None = None,
        on_failure: NewJob | None = None,
        connection: Any,
        check: bool = True,
    ) -> BlockingBatch:
        """`with pgq.batch_sync(connection=…) as batch: batch.add(…)`: `batch` for plain functions.

        Everything is enqueued at the end of the block, in the transaction open on the connection.
        """
        callbacks = callbacks_of(on_done, on_success, on_failure)
        enqueue_many = partial(self.enqueue_many_sync, check=check)
        return BlockingBatch(enqueue_many, self.queries_on(connection), callbacks, connection)

    def chain_sync(self, *jobs: NewJob, connection: Any, check: bool = True) -> list[int]:
        """`chain` for plain functions; returns the jobs' ids in order."""
        made = self.enqueue_many_sync(chained(jobs), connection=connection, check=check)
        return [job.id for job in made]
