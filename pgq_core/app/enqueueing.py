"""What a program enqueues: jobs, alone or together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pgq_core.app.blocking import Blocking
from pgq_core.batches import Batch, callbacks_of, chained
from pgq_core.models import EnqueuedJob, Fellows, NewJob, job_of
from pgq_core.tasks import JobSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Enqueueing(Blocking):
    """The verbs that write jobs."""

    async def enqueue(
        self,
        entrypoint: str | NewJob,
        payload: Any = None,
        *,
        connection: Any = None,
        check: bool = True,
        patience: float = 0.0,
        **settings: Unpack[JobSettings],
    ) -> int:
        """Enqueue one job and return its id.

        `payload`: bytes, str or JSON-able. `settings` are those of `NewJob`: `priority`, `queue`,
        `headers`, `max_attempts`, `timeout`, `concurrency_key`, and more. `delay` seconds or
        timedelta, or `run_at` an aware datetime. A duplicate `unique_key` returns the id of the job
        that holds it (`on_duplicate`: keep, replace one that has not started, or raise
        DuplicateJob); the key is held while the job is unfinished (`unique_while`: or only while it
        is waiting), or `unique_for` seconds. `after`: ids of jobs that must end first;
        `on_failure`: run, skip or cancel when one of them fails, or run only then.

        `connection=` joins the transaction open on it: asyncpg, psycopg, or a session or connection
        of SQLAlchemy. `patience`: see `enqueue_many`. Raises InvalidInput before any SQL;
        UnknownEntrypoint for a name not registered here, unless `check=False`.
        """
        job = job_of(entrypoint, payload, settings)
        made = await self.enqueue_many([job], connection=connection, check=check, patience=patience)
        return made[0].id

    async def enqueue_many(
        self,
        jobs: Iterable[NewJob],
        *,
        connection: Any = None,
        check: bool = True,
        patience: float = 0.0,
    ) -> list[EnqueuedJob]:
        """Enqueue jobs in one statement; per job its id and whether it is new, in input order.

        A full queue (`max_depth`) is waited for up to `patience` seconds, then QueueFull is raised.
        A job may wait for others of the same call: `after=[other]` with their NewJobs.
        """
        fellows = Fellows(jobs)
        rows = self.prepare_all(fellows, check)
        queries = self.queries if connection is None else self.queries_on(connection)
        if not self.pressure.max_depth:
            return await queries.insert(rows, connection)
        await self.pressure.admit(rows, partial(queries.depth, on=connection), patience)
        try:
            return await queries.insert(rows, connection)
        finally:
            self.pressure.landed(rows)

    def batch(
        self,
        *,
        on_done: NewJob | None = None,
        on_success: NewJob | None = None,
        on_failure: NewJob | None = None,
        connection: Any = None,
        check: bool = True,
    ) -> Batch:
        """`async with pgq.batch(on_done=…) as batch: batch.add(…)`: jobs with callbacks.

        `on_done` runs when all have ended, `on_success` when all succeeded, `on_failure` once the
        first has failed. Everything is enqueued in one transaction, at the end of the block.
        """
        callbacks = callbacks_of(on_done, on_success, on_failure)
        enqueue_many = partial(self.enqueue_many, check=check)
        return Batch(enqueue_many, lambda: self.queries_on(connection), callbacks, connection)

    async def chain(self, *jobs: NewJob, connection: Any = None, check: bool = True) -> list[int]:
        """Enqueue jobs that run one after the other; returns their ids in order.

        When one fails the rest is cancelled, unless a job's `on_failure` says otherwise; its
        results reach the next through `await context.results()`.
        """
        made = await self.enqueue_many(chained(jobs), connection=connection, check=check)
        return [job.id for job in made]
