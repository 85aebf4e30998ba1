"""What the core's registry holds for a task: a handler that takes `job, context`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import connections
from django.utils import timezone

from pgq_core import Job, PgQueuer
from pgq_core.worker.completion import worker_of
from pgq_django import statements
from pgq_django.compat import Result, TaskResult, TaskResultStatus, task_backends
from pgq_django.connections import tidy_connections
from pgq_django.databases import home_of
from pgq_django.priorities import to_django
from pgq_django.results import arguments_in, build, result_id
from pgq_django.task import variant
from pgq_django.worker.attempt import Attempt
from pgq_django.worker.policy import Policy

Handler = Callable[[Job, Any], Any]


def register(pgq: PgQueuer, task: Any, using: str) -> None:
    """Serve a task under its path and the paths it had before."""
    policy = Policy(task)
    handler = handler_of(policy, using)
    for name in names_of(policy):
        if name not in pgq.registry:
            pgq.registry.add(name, handler, policy.entrypoint)


def names_of(policy: Policy) -> tuple[str, ...]:
    """The paths under which a task's jobs may stand."""
    return (policy.task.module_path, *policy.options.aliases)


def handler_of(policy: Policy, using: str) -> Handler:
    """A coroutine function for a coroutine task, else a plain one: the core runs it in a thread."""

    async def on_the_loop(job: Job, context: Any) -> Any:
        # Its ORM calls share a thread and a connection of their own, as a request's do under ASGI.
        async with ThreadSensitiveContext():
            try:
                made = await sync_to_async(attempt_at)(policy, job, context, using)
                return await made.arun()
            finally:
                await sync_to_async(connections.close_all)()

    def in_a_thread(job: Job, context: Any) -> Any:
        with tidy_connections():
            return attempt_at(policy, job, context, using).run()

    return on_the_loop if iscoroutinefunction(policy.task.func) else in_a_thread


def attempt_at(policy: Policy, job: Job, context: Any, using: str) -> Attempt:
    """An attempt at a claimed job; from the second on its result holds the earlier ones."""
    alias = job.headers.get("backend") or policy.task.backend
    using = home_of(getattr(task_backends[alias], "database", using), using)
    if job.attempt > 1:
        row = statements.run(using, "job_result", id=job.id)[0]
        attempts = statements.run(using, "get_attempts", id=job.id)
        result = build(row, attempts, alias, policy.task)
    else:
        result = first_result(policy.task, job, alias, str(worker_of(context)))
    sender = type(task_backends[alias])
    return Attempt(policy, job, context, using, sender, result)


def first_result(task: Any, job: Job, alias: str, worker: str) -> Result:
    """The result of a job that starts for the first time; nothing needs to be read for it."""
    started = timezone.now()
    args, kwargs = arguments_in(job.payload)
    return TaskResult(
        task=variant(
            task,
            priority=to_django(job.priority),
            queue_name=job.queue,
            run_after=local(job.run_at),
            backend=alias,
        ),
        id=result_id(job.id),
        status=TaskResultStatus.RUNNING,
        enqueued_at=local(job.created_at),
        started_at=started,
        last_attempted_at=started,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[worker],
    )


def local(moment: Any) -> Any:
    """An aware datetime, or a naive one where USE_TZ is off: Django's connection gives it so."""
    if moment is None or settings.USE_TZ or timezone.is_naive(moment):
        return moment
    return timezone.make_naive(moment)
