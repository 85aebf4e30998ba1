"""`PgqBackend`: Django's Tasks contract on pgq."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from pgq_core.models import row_of
from pgq_django import catalogue
from pgq_django.arguments import normalized
from pgq_django.compat import (
    BaseTaskBackend,
    InvalidTask,
    Result,
    TaskResult,
    TaskResultStatus,
    task_enqueued,
)
from pgq_django.databases import database_of, our_backends, warn_if_elsewhere
from pgq_django.enqueueing import insert_one
from pgq_django.jobs import job_of
from pgq_django.results import load, load_any, result_id
from pgq_django.task import PgqTask, options_of, variant
from pgq_django.task_options import NAMES, TaskOptions
from pgq_django.tracing import traced


class PgqBackend(BaseTaskBackend):
    """`TASKS = {"default": {"BACKEND": "pgq_django.PgqBackend"}}`.

    OPTIONS: `database`, the alias the queue lives in; `tracing`, True for OpenTelemetry; those of
    `pgq_django.options`, for tasks that state none. A task is enqueued in the transaction that is
    open on that alias.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    task_class = PgqTask

    @property
    def database(self) -> str:
        """The alias of the queue's database."""
        return str(self.options.get("database", "default"))

    @property
    def task_options(self) -> TaskOptions:
        """What OPTIONS says for tasks that state nothing themselves."""
        return TaskOptions(**{name: self.options[name] for name in NAMES if name in self.options})

    def validate_task(self, task: Any) -> None:
        """Django's own checks; `run_after` may also be a timedelta. Raises InvalidTask."""
        if isinstance(task.run_after, timedelta):
            names = ("func", "takes_context", "priority", "queue_name")
            copy: Any = SimpleNamespace(**{name: getattr(task, name) for name in names})
            copy.run_after = None
            super().validate_task(copy)
        else:
            super().validate_task(task)
        problem = catalogue.unfit(task, options_of(task))
        if problem:
            raise InvalidTask(problem)
        catalogue.note(task)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Result:
        """Insert the job now, in whatever transaction is open. Raises before any SQL."""
        result, fresh = self._store(task, args, kwargs)
        if fresh:
            task_enqueued.send_robust(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Result:
        """The same on the same connection, so that it stays in the same transaction."""
        store = sync_to_async(self._store, thread_sensitive=True)
        result, fresh = await store(task, args, kwargs)
        if fresh:
            await task_enqueued.asend_robust(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Result:
        """The result as it stands now. Raises TaskResultDoesNotExist for any id it doesn't know."""
        return load(self, result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """What is wrong with this entry of TASKS."""
        from pgq_django.checks import check_backend  # noqa: PLC0415  (imports this module)

        return list(check_backend(self))

    def _store(self, task: Any, args: Any, kwargs: Any) -> tuple[Result, bool]:
        """The result, and whether the job is new: a duplicate is the job that holds the key."""
        self.validate_task(task)
        catalogue.check_path(task)
        arguments = normalized(task.func, args, kwargs)
        row = row_of(traced(job_of(variant(task, backend=self.alias), arguments)))
        warn_if_elsewhere(self.database)
        stored = insert_one(self.database, row)
        if not stored.fresh:
            return load_any(self.database, stored.id, self._same_queue()), False
        run_after = stored.run_at if isinstance(task.run_after, timedelta) else task.run_after
        made: Result = TaskResult(
            task=variant(task, run_after=run_after, backend=self.alias),
            id=result_id(stored.id),
            status=TaskResultStatus.READY,
            enqueued_at=stored.created_at,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=arguments[0],
            kwargs=arguments[1],
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        return made, True

    def _same_queue(self) -> list[str]:
        """The backends whose jobs share our keys, this one first."""
        others = (alias for alias, _ in our_backends() if database_of(alias) == self.database)
        return [self.alias, *(alias for alias in others if alias != self.alias)]
