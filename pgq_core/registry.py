"""Names and their handlers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pgq_core.errors import AlreadyRegistered, InvalidInput, UnknownEntrypoint
from pgq_core.models import check_smallint, check_text
from pgq_core.options import EntrypointOptions
from pgq_core.schedules import ScheduleRule

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Entrypoint:
    """A handler under its name. `wants_context`: it takes `job, context`."""

    name: str
    handler: Handler
    options: EntrypointOptions
    is_async: bool
    wants_context: bool


@dataclass
class Registry:
    """Everything the code declares: entrypoints and schedules."""

    entrypoints: dict[str, Entrypoint] = field(default_factory=dict)
    schedules: dict[str, ScheduleRule] = field(default_factory=dict)
    limited: set[str] = field(default_factory=set)

    def add(self, name: str, handler: Handler, options: EntrypointOptions) -> Entrypoint:
        """Register a handler. Raises AlreadyRegistered or InvalidInput."""
        check_text("entrypoint", name)
        check_text("queue", options.queue)
        check_smallint("priority", options.priority)
        refuse_generators(name, handler)
        if name in self.entrypoints:
            raise AlreadyRegistered("entrypoint", name)
        entry = Entrypoint(name, handler, options, is_async(handler), takes_two(name, handler))
        self.entrypoints[name] = entry
        if options.concurrency_limit is not None or options.rate_limit is not None:
            self.limited.add(name)
        return entry

    def add_schedule(self, rule: ScheduleRule) -> None:
        """Register a schedule. Raises AlreadyRegistered."""
        if rule.name in self.schedules:
            raise AlreadyRegistered("schedule", rule.name)
        self.schedules[rule.name] = rule

    def get(self, name: str) -> Entrypoint:
        """The entrypoint of that name. Raises UnknownEntrypoint."""
        try:
            return self.entrypoints[name]
        except KeyError:
            raise UnknownEntrypoint(name, self.entrypoints) from None

    def __contains__(self, name: object) -> bool:
        return name in self.entrypoints

    def __iter__(self) -> Iterator[Entrypoint]:
        return iter(self.entrypoints.values())


def is_async(handler: Handler) -> bool:
    """Whether calling the handler gives a coroutine."""
    call = getattr(handler, "__call__", None)  # noqa: B004  (an instance with async def __call__)
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def refuse_generators(name: str, handler: Handler) -> None:
    """Raise InvalidInput for a handler with `yield` in it: calling it would run nothing."""
    for call in (handler, getattr(handler, "__call__", None)):  # noqa: B004  (as above)
        if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
            raise InvalidInput(
                f"the handler of {name!r} is a generator, whose body would never run; "
                "take `yield` out of it and `return` the result"
            )


def takes_two(name: str, handler: Handler) -> bool:
    """Whether the handler takes `job, context` rather than `job`. Raises InvalidInput."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    if not positional or len(required) > 2:
        raise InvalidInput(
            f"the handler of {name!r} takes {len(positional)} arguments; "
            "it must take `job`, or `job, context`"
        )
    return len(positional) >= 2 and (len(required) == 2 or positional[1].name in ("context", "ctx"))
