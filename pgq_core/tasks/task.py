"""`Task`: what `@pgq.task` makes of a function."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from pgq_core.errors import InvalidInput, NotBound
from pgq_core.models import Job, NewJob
from pgq_core.queries import Queries
from pgq_core.tasks.arguments import Arguments
from pgq_core.tasks.rehearsal import opened, rehearsed_context, rehearsed_job
from pgq_core.tasks.settings import JobSettings
from pgq_core.worker.context import Context

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = ParamSpec("P")
R = TypeVar("R")


class Queuer(Protocol):
    """What a task needs of PgQueuer."""

    resources: Any

    @property
    def queries(self) -> Queries: ...

    async def enqueue(self, entrypoint: NewJob, *, connection: Any = None) -> int: ...

    def enqueue_sync(self, entrypoint: NewJob, *, connection: Any) -> int: ...


@dataclass(frozen=True, eq=False)
class Task(Generic[P, R]):
    """A function whose calls are jobs. `function` is the function itself."""

    name: str
    function: Callable[..., Any]
    arguments: Arguments = field(repr=False)
    queuer: Queuer = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    connection: Any = field(default=None, repr=False)
    by_arguments: bool = False

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Enqueue a call; returns the job's id. Raises InvalidArguments before any SQL."""
        return await self.queuer.enqueue(self._new(args, kwargs), connection=self.connection)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """The same for plain functions, on the connection given by `using(connection=…)`."""
        if self.connection is None:
            raise InvalidInput(
                f"task {self.name!r}: enqueue_sync needs a psycopg connection or a Session: "
                "task.using(connection=session).enqueue_sync(…)"
            )
        return self.queuer.enqueue_sync(self._new(args, kwargs), connection=self.connection)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A call as a `NewJob`, for `pgq.enqueue_many`."""
        if self.connection is not None:
            raise InvalidInput(
                f"task {self.name!r}: a NewJob holds no connection; give it to enqueue_many"
            )
        return self._new(args, kwargs)

    async def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, for tests: arguments checked and sent through JSON."""
        job = rehearsed_job(self._new(args, kwargs))
        async with opened(self.queuer.resources) as resources:
            context = rehearsed_context(job, self._queries(), resources, self.queuer.enqueue)
            if inspect.iscoroutinefunction(self.function):
                value = self.start(job, context)
            else:  # in a thread, as the worker does
                value = await asyncio.to_thread(self.start, job, context)
            result: R = await value if inspect.isawaitable(value) else value
        return result

    def using(self, *, connection: Any = None, **settings: Unpack[JobSettings]) -> Task[P, R]:
        """This task with other options for its jobs: `task.using(delay=60).enqueue(…)`.

        `connection=` joins the transaction open on it, as in `pgq.enqueue`; the rest are the
        options of `NewJob`.
        """
        if unknown := settings.keys() - JobSettings.__annotations__:
            raise InvalidInput(f"task {self.name!r}: using() knows no option {min(unknown)!r}")
        changed = {name: value for name, value in settings.items() if value is not None}
        return replace(
            self,
            options={**self.options, **changed},
            connection=self.connection if connection is None else connection,
        )

    def start(self, job: Job, context: Context) -> Any:
        """Call the function with what the payload says. Raises JobUnfit."""
        bound = self.arguments.decode(job)
        injected = {None: (), Context: (context,), Job: (job,)}[self.arguments.injected]
        return self.function(*injected, *bound.args, **bound.kwargs)

    def _new(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        payload, options = self.arguments.encode(args, kwargs), dict(self.options)
        if self.by_arguments and options.get("unique_key") is None:
            options["unique_key"] = digest(payload)
        return NewJob(self.name, payload, **options)

    def _queries(self) -> Queries | None:
        try:
            return self.queuer.queries
        except NotBound:
            return None


def digest(payload: bytes) -> str:
    """A unique key of the arguments, the same in whatever order they were given."""
    text = json.dumps(json.loads(payload), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
