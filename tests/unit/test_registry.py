"""Names and their handlers."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pgq_core import PgQueuer
from pgq_core.errors import AlreadyRegistered, InvalidInput, UnknownEntrypoint
from pgq_core.options import EntrypointOptions, WorkerOptions
from pgq_core.registry import Handler, Registry
from pgq_core.schedules import ScheduleRule


async def one(job: Any) -> None: ...
async def two(job: Any, context: Any) -> None: ...
async def short(job: Any, ctx: Any) -> None: ...
async def defaulted(job: Any, context: Any = None) -> None: ...
async def other_default(job: Any, retries: int = 3) -> None: ...
async def keyword_only(job: Any, *, retries: int = 3) -> None: ...
async def anything(*args: Any) -> None: ...
def plain(job: Any) -> None: ...
def nothing() -> None: ...
def three(job: Any, context: Any, more: Any) -> None: ...
def generator(job: Any) -> Iterator[int]:
    yield 1


async def async_generator(job: Any) -> AsyncIterator[int]:
    yield 1


class Generator:
    def __call__(self, job: Any) -> Iterator[int]:
        yield 1


class Callable:
    async def __call__(self, job: Any) -> None: ...


class Plain:
    def __call__(self, job: Any, context: Any) -> None: ...

    def method(self, job: Any) -> None: ...


def add(handler: Handler, **options: Any) -> Any:
    return Registry().add("work", handler, EntrypointOptions(**options))


@pytest.mark.parametrize(
    ("handler", "is_async", "wants_context"),
    [
        (one, True, False),
        (two, True, True),
        (short, True, True),
        (defaulted, True, True),
        (other_default, True, False),
        (keyword_only, True, False),
        (anything, True, True),
        (plain, False, False),
        (Callable(), True, False),
        (Plain(), False, True),
        (Plain().method, False, False),
        (functools.partial(two, context=None), True, False),
        (lambda job: None, False, False),
    ],
)
def test_handlers(handler: Handler, is_async: bool, wants_context: bool) -> None:
    """A handler is any callable that takes `job`, or `job, context`; async or plain."""
    entry = add(handler)
    assert (entry.is_async, entry.wants_context) == (is_async, wants_context)


@pytest.mark.parametrize("handler", [nothing, three])
def test_what_cannot_be_a_handler(handler: Handler) -> None:
    """A function that takes nothing, or too much, is refused when it is registered."""
    with pytest.raises(InvalidInput, match="must take `job`"):
        add(handler)


@pytest.mark.parametrize("way", ["entrypoint", "task", "schedule"])
@pytest.mark.parametrize(
    "handler", [generator, async_generator, functools.partial(generator), Generator()]
)
def test_generators_are_refused(way: str, handler: Handler) -> None:
    """A handler with `yield` in it is refused when it is registered: its body would never run."""
    pgq = PgQueuer()
    register = {
        "entrypoint": pgq.entrypoint("work"),
        "task": pgq.task("work"),
        "schedule": pgq.schedule("work", "@daily"),
    }[way]
    with pytest.raises(InvalidInput, match=r"'work' is a generator.*`return`"):
        register(handler)
    assert not pgq.registry.entrypoints
    assert not pgq.registry.schedules


def test_a_name_is_registered_once() -> None:
    """A second handler under the same name is refused; the first stays."""
    registry = Registry()
    registry.add("work", one, EntrypointOptions())
    with pytest.raises(AlreadyRegistered, match="'work'"):
        registry.add("work", two, EntrypointOptions())
    assert registry.get("work").handler is one


def test_a_schedule_is_registered_once() -> None:
    """A second schedule under the same name is refused."""
    registry = Registry()
    registry.add_schedule(ScheduleRule("tick", "* * * * *"))
    with pytest.raises(AlreadyRegistered, match="'tick'"):
        registry.add_schedule(ScheduleRule("tick", "0 0 * * *"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    """Asking for a name nobody registered says which names there are, and the way out."""
    registry = Registry()
    registry.add("b", one, EntrypointOptions())
    registry.add("a", one, EntrypointOptions())
    with pytest.raises(UnknownEntrypoint, match=r"known: a, b.*check=False"):
        registry.get("c")
    assert "a" in registry
    assert "c" not in registry
    assert [entry.name for entry in registry] == ["b", "a"]


@pytest.mark.parametrize("name", ["", "a\x00b", None, "x" * 1001])
def test_wrong_names(name: Any) -> None:
    """A name that the database could not hold is refused when it is registered."""
    with pytest.raises(InvalidInput, match="entrypoint"):
        Registry().add(name, one, EntrypointOptions())


@pytest.mark.parametrize(
    "wrong",
    [{"queue": ""}, {"priority": 99_999}, {"max_attempts": 0}, {"max_attempts": 40_000},
     {"timeout": 0}, {"timeout": -1}, {"concurrency_limit": 0}, {"concurrency_limit": 2**31},
     {"retry_on": ("ValueError",)}, {"no_retry_on": "ValueError"},
     {"aliases": "old"}],
)  # fmt: skip
def test_wrong_options(wrong: dict[str, Any]) -> None:
    """An option out of its range is refused by name when the handler is registered."""
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        PgQueuer().entrypoint("work", **wrong)(one)


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"batch_size": 0}, {"threads": 0}, {"max_jobs": 0}, {"lease": 0.5},
     {"lease": math.nan}, {"lease": 1e300}, {"idle_look": 0}, {"idle_look": math.inf},
     {"shutdown_timeout": -1}, {"shutdown_timeout": math.nan}, {"queues": "default"},
     {"concurrency": 2**31}, {"queues": {}}, {"queues": {"default": 0}},
     {"queues": {"default": 5, "mail": -1}}, {"queues": ["default", 5]}],
)  # fmt: skip
def test_wrong_worker_options(wrong: dict[str, Any]) -> None:
    """A worker's option out of its range is refused by name before it starts."""
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        WorkerOptions(**wrong)
