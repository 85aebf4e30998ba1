"""Batches and chains of tasks, in the transaction that is open."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from pgq_core import NewJob
from pgq_core.batches import Collected, callbacks_of, chained
from pgq_core.models import job_of
from pgq_core.queries.flow import BatchProgress, progress_in
from pgq_django import statements
from pgq_django.databases import warn_if_elsewhere
from pgq_django.enqueueing import alias_of, enqueue_many
from pgq_django.jobs import job


class Batch(Collected):
    """Collects tasks and enqueues them together at the end of its `with` block.

    `id`, `job_ids` and `callback_ids` are known after the block.
    """

    using: str

    def add(self, job: Any, payload: Any = None, **options: Any) -> NewJob:
        """Add a task with `args` and `kwargs`, an entrypoint by name with a payload, or a job made
        by `pgq_django.job(…)`; options as for `enqueue`. Raises InvalidInput."""
        return super().add(job_from(job, payload, **options))

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        jobs = self._all()
        self.using = self.using or alias_of(jobs)
        warn_if_elsewhere(self.using)  # before this block is the transaction that is open there
        with transaction.atomic(using=self.using):
            callback = self._made(enqueue_many(jobs, using=self.using))
            made = statements.run(self.using, "make_batch", jobs=self.job_ids, callback=callback)
        self.id = int(made[0]["batch_id"])

    def progress(self) -> BatchProgress:
        """How many of its jobs have ended, and how. Raises InvalidInput."""
        id_ = self._known()
        return progress_in(statements.run(self.using, "batch_progress", batch=id_), id_)


def batch(
    *, on_done: Any = None, on_success: Any = None, on_failure: Any = None, using: str | None = None
) -> Batch:
    """`with batch(on_done=report) as jobs: jobs.add(task, args=[…])`: tasks with callbacks.

    `on_done` runs when all have ended, `on_success` when all succeeded, `on_failure` once the first
    has failed: a task without arguments, or a job made by `pgq_django.job(…)`. Everything is
    enqueued at the end of the block, in the transaction open on the queue's alias.
    """
    ends = (end if end is None else job_from(end) for end in (on_done, on_success, on_failure))
    made = Batch(callbacks_of(*ends))
    made.using = using or ""
    return made


def chain(*jobs: Any, using: str | None = None) -> list[int]:
    """Enqueue tasks that run one after the other; returns their jobs' ids in order.

    Each is a task without arguments, or a job made by `pgq_django.job(…)`. When one fails the rest
    is cancelled, unless a job's `on_failure` says otherwise.
    """
    made = enqueue_many(chained([job_from(one) for one in jobs]), using=using)
    return [one.id for one in made]


def job_from(target: Any, payload: Any = None, **options: Any) -> NewJob:
    """A job as it is; a task or a name made one."""
    if isinstance(target, NewJob):
        return job_of(target, payload, options)
    return job(target, payload, **options)
