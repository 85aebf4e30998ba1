"""What a program registers: handlers, tasks and schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pgq_core.app.enqueueing import Enqueueing
from pgq_core.app.ticking import on_tick
from pgq_core.errors import InvalidInput
from pgq_core.models import encode_payload
from pgq_core.options import EntrypointOptions, Rate
from pgq_core.registry import Handler, refuse_generators
from pgq_core.retries import Backoff, BackoffRule
from pgq_core.schedules import ScheduleRule
from pgq_core.tasks import EntrypointSettings, Errors, TaskDecorator

if TYPE_CHECKING:
    from typing_extensions import Unpack

H = TypeVar("H", bound=Handler)


class Registering(Enqueueing):
    """The decorators. What they register can be enqueued at once: a task does that itself."""

    def entrypoint(
        self,
        name: str,
        *,
        aliases: Sequence[str] = (),
        queue: str = "default",
        priority: int = 5,
        max_attempts: int = 5,
        backoff: BackoffRule | None = None,
        retry_on: Errors = BaseException,
        no_retry_on: Errors = (),
        timeout: float | None = None,
        transactional: bool = False,
        concurrency_limit: int | None = None,
        rate_limit: str | Rate | None = None,
    ) -> Callable[[H], H]:
        """Register a handler: `async def` or `def`, taking `job` or `job, context`.

        Its return value is the job's result. Raising retries with `backoff` (a Backoff, seconds, or
        a function of the failures so far; at most a hundred years) until `max_attempts` are spent
        (1: at most once); errors in `no_retry_on` fail at once. `timeout` is in seconds.
        `aliases` are old names whose jobs are served too. Raises InvalidInput or AlreadyRegistered.
        """
        if isinstance(aliases, str):
            raise InvalidInput(f"aliases={aliases!r}: give a list, as in [{aliases!r}]")
        options = EntrypointOptions(
            queue, priority, max_attempts, Backoff() if backoff is None else backoff,
            as_tuple(retry_on), as_tuple(no_retry_on), timeout, transactional, concurrency_limit,
            rate_limit,
        )  # fmt: skip

        def register(handler: H) -> H:
            for each in (name, *aliases):
                self.registry.add(each, handler, options)
            return handler

        return register

    def task(
        self,
        name: str | None = None,
        *,
        aliases: Sequence[str] = (),
        unique: str | None = None,
        unique_for: float | timedelta | None = None,
        unique_while: str | None = None,
        **settings: Unpack[EntrypointSettings],
    ) -> TaskDecorator:
        """Register a function whose signature says what its jobs carry (default name: its own).

        Arguments are checked by pydantic, at enqueue and again at run. A first parameter annotated
        `Context` or `Job` is handed in. `settings` are those of `entrypoint`. `unique="args"`: the
        arguments are the jobs' unique key, held as `unique_for` and `unique_while` say. The
        function becomes a `Task`: `await send_email.enqueue(to="…")`. Raises MissingExtra without
        pydantic.
        """
        given = {"unique_for": unique_for, "unique_while": unique_while}
        options = {name: value for name, value in given.items() if value is not None}
        return TaskDecorator(self, name, aliases, settings, unique, options)

    def schedule(
        self,
        name: str,
        cron: str,
        *,
        timezone: str = "UTC",
        catch_up: str = "last",
        queue: str = "default",
        priority: int = 5,
        jitter: float | timedelta = 0.0,
        payload: Any = None,
        **options: Any,
    ) -> Callable[[H], H]:
        """Register a handler for the ticks of a cron rule; it takes a `Schedule`, or one and a
        `Context`.

        A tick is one ordinary job, retried and logged as any other; `options` are those of
        `entrypoint`. `catch_up`: of the ticks missed while no worker ran, fire the last, all (the
        newest 1,000), or skip them. `jitter` seconds: each tick is late by a random part of them.
        Raises InvalidInput.
        """
        entrypoint = f"schedule:{name}"
        rule = ScheduleRule(
            name, cron, timezone, catch_up, entrypoint, queue, priority, jitter,
            encode_payload(payload, self.max_payload),
        )  # fmt: skip

        def register(handler: H) -> H:
            refuse_generators(name, handler)
            self.registry.add_schedule(rule)
            make = self.entrypoint(entrypoint, queue=queue, priority=priority, **options)
            make(on_tick(rule, handler))
            return handler

        return register


def as_tuple(errors: Errors) -> tuple[type[BaseException], ...]:
    """One exception class or several."""
    return (errors,) if isinstance(errors, (type, str)) else tuple(errors)
