"""Our Task: Django's, with our extras as fields, for `@task(max_attempts=3)` on Django 6.1."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from pgq_django.compat import Task, task_backends
from pgq_django.task_options import NAMES, BackoffRule, Errors, Key, TaskOptions, of_function

TRAVEL = ("max_attempts", "timeout", "unique", "concurrency_key")  # in a job's own row


@dataclass(frozen=True, kw_only=True)
class PgqTask(Task):  # type: ignore[misc, type-arg, unused-ignore]
    """A task with the options of `pgq_django.options` as keywords; see TaskOptions."""

    max_attempts: int | None = None
    backoff: BackoffRule | None = None
    retry_on: Errors | None = None
    no_retry_on: Errors | None = None
    timeout: float | timedelta | None = None
    unique: bool | Key | None = None
    concurrency_key: Key | None = None
    concurrency_limit: int | None = None
    rate_limit: str | None = None
    atomic: bool | None = None
    aliases: tuple[str, ...] = ()

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        **extras: Any,
    ) -> PgqTask:
        """Django's `using()`, and our extras beside it."""
        # Zero-argument super() does not work in a slotted dataclass before Python 3.14.
        changed: Any = Task.using(
            self,  # type: ignore[arg-type, unused-ignore]
            priority=priority,
            queue_name=queue_name,
            run_after=run_after,  # type: ignore[arg-type, unused-ignore]
            backend=backend,
        )
        for name in sorted(set(extras) - set(TRAVEL)):
            if name not in NAMES:
                raise TypeError(f"using() got an unexpected keyword argument {name!r}")
            raise TypeError(
                f"using({name}=…): this holds for every job of a task; state it at @task"
            )
        made: PgqTask = replace(changed, **extras) if extras else changed
        return made


def options_of(task: Any) -> TaskOptions:
    """A task's options: stated at its function, overruled by its own fields. Any Task will do."""
    own = TaskOptions(**{name: getattr(task, name) for name in NAMES if hasattr(task, name)})
    return of_function(task.func).merged(own)


def defaults_of(task: Any) -> TaskOptions:
    """What the task's backend says for tasks that state nothing; another backend says nothing."""
    stated = getattr(task_backends[task.backend], "task_options", None)
    return stated if isinstance(stated, TaskOptions) else TaskOptions()


def variant(base: Any, **changes: Any) -> Any:
    """A copy with other fields, without asking a backend whether it would take it today."""
    copy = object.__new__(type(base))
    for field in fields(base):
        value = changes.get(field.name, getattr(base, field.name))
        object.__setattr__(copy, field.name, value)
    return copy
