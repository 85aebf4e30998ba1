"""`@pgq.task(…)`: register a function whose signature is the form of its jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, Protocol, overload

from pgq_core.errors import InvalidInput, JobUnfit
from pgq_core.models import Job
from pgq_core.registry import refuse_generators
from pgq_core.tasks.arguments import Arguments
from pgq_core.tasks.handlers import handler_of
from pgq_core.tasks.settings import EntrypointSettings
from pgq_core.tasks.task import P, Queuer, R, Task
from pgq_core.worker.context import Context


class Registrar(Queuer, Protocol):
    """What registering needs of PgQueuer besides."""

    @property
    def entrypoint(self) -> Callable[..., Callable[[Any], Any]]: ...


@dataclass(frozen=True)
class TaskDecorator:
    """Turns a function into a `Task`; a first parameter that is a Context or a Job is handed in."""

    queuer: Registrar
    name: str | None
    aliases: Sequence[str]
    settings: EntrypointSettings
    unique: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if callable(self.name):
            raise InvalidInput("@pgq.task needs parentheses: write @pgq.task()")
        if self.unique not in (None, "args"):
            raise InvalidInput(f"unique={self.unique!r}: give 'args', or a unique_key per job")
        if self.options and self.unique is None:
            raise InvalidInput(f"{min(self.options)}= needs unique='args', or a unique_key per job")

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Awaitable[R]], /
    ) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Register the function. Raises InvalidInput, AlreadyRegistered or MissingExtra."""
        name = self.name or function.__name__
        refuse_generators(name, function)
        task: Task[..., Any] = Task(
            name, function, Arguments(name, function), self.queuer, self.options,
            by_arguments=self.unique == "args",
        )  # fmt: skip
        never = self.settings.get("no_retry_on", ())
        never = (never,) if isinstance(never, type) else tuple(never)
        # A payload that does not fit now will not fit in a minute: only a deploy mends it.
        options = {**self.settings, "no_retry_on": (*never, JobUnfit)}
        self.queuer.entrypoint(name, aliases=self.aliases, **options)(handler_of(task))
        return task
