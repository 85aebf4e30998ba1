"""What pgq can be told of a task beyond Django's own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, TypeVar

from pgq_core.errors import InvalidInput
from pgq_core.options import EntrypointOptions
from pgq_core.retries import Backoff

F = TypeVar("F", bound=Callable[..., Any])
Errors = type[BaseException] | Sequence[type[BaseException]]
BackoffRule = Backoff | float | int | Callable[..., float | timedelta | None]
Key = str | Callable[..., str]

ATTRIBUTE = "__pgq_options__"


@dataclass(frozen=True)
class TaskOptions:
    """How a task's jobs are run. `None` leaves it to the backend's OPTIONS, else to the core.

    max_attempts: starts that may fail before the job has failed; 1 means at most once.
    backoff: seconds, a Backoff, a function of the failures so far, or of (exception, task_result)
        which may return None: don't retry.
    retry_on, no_retry_on: exception classes.
    timeout: seconds one attempt may take.
    unique: True (one live job per arguments), a text (one live job in all) or a function of the
        task's arguments that gives the key.
    concurrency_key: a text, or a function of the arguments; jobs of one key run one at a time.
    concurrency_limit, rate_limit: over all workers.
    atomic: the task, its ORM writes and the job's completion are one transaction.
    aliases: earlier module paths of the task, whose jobs are run too.
    """

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
    aliases: Sequence[str] = ()

    def merged(self, other: TaskOptions) -> TaskOptions:
        """These options, overruled by what `other` sets."""
        changes = {
            field.name: value
            for field in fields(other)
            if (value := getattr(other, field.name)) not in (None, ())
        }
        return replace(self, **changes)

    @property
    def timeout_seconds(self) -> float | None:
        """The timeout as a number."""
        if isinstance(self.timeout, timedelta):
            return self.timeout.total_seconds()
        return self.timeout

    @property
    def problem(self) -> str | None:
        """What a worker could not work with: it would not start."""
        if isinstance(self.aliases, str):
            return f"aliases={self.aliases!r}: give a list of paths"
        for name, value in self._plain().items():
            try:
                EntrypointOptions(**{name: value})
            except InvalidInput as error:
                return str(error)
            except TypeError:
                return f"{name}={value!r}: this is of the wrong kind, a {type(value).__name__}"
        return None

    def _plain(self) -> dict[str, Any]:
        """The options that the core knows, as far as they are stated."""
        errors = {name: getattr(self, name) for name in ("retry_on", "no_retry_on")}
        found = {
            "max_attempts": self.max_attempts,
            "backoff": None if callable(self.backoff) else self.backoff,
            "timeout": self.timeout_seconds,
            "concurrency_limit": self.concurrency_limit,
            "rate_limit": self.rate_limit,
            **{k: (v,) if isinstance(v, (type, BaseException)) else v for k, v in errors.items()},
        }
        return {name: value for name, value in found.items() if value is not None}


NAMES = tuple(field.name for field in fields(TaskOptions))


def options(**values: Any) -> Callable[[F], F]:
    """Tell pgq how a task's jobs are run; stands under `@task`.

        @task
        @pgq_django.options(max_attempts=3, timeout=30)
        def send_mail(to): ...

    Raises InvalidInput for a name TaskOptions doesn't know.
    """
    unknown = sorted(set(values) - set(NAMES))
    if unknown:
        raise InvalidInput(
            f"options({unknown[0]}=…): there is no such option; give some of {', '.join(NAMES)}"
        )
    stated = TaskOptions(**values)

    def attach(func: F) -> F:
        if not callable(func) or hasattr(func, "enqueue"):
            raise InvalidInput("@pgq_django.options(...) stands under @task, next to the function")
        earlier = getattr(func, ATTRIBUTE, TaskOptions())
        setattr(func, ATTRIBUTE, stated.merged(earlier))
        return func

    return attach


def of_function(func: Callable[..., Any]) -> TaskOptions:
    """The options stated at a function."""
    found = getattr(func, ATTRIBUTE, None)
    return found if isinstance(found, TaskOptions) else TaskOptions()
