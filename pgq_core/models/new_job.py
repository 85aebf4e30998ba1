"""A job before it is written, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from pgq_core.errors import InvalidInput

UNIQUE_WHILE = ("unfinished", "waiting")
ON_DUPLICATE = ("keep", "replace", "raise")
ON_FAILURE = ("run", "skip", "cancel", "only")


@dataclass(slots=True, frozen=True)
class NewJob:
    """A job not yet written. `None` leaves a value to the entrypoint, else to the database."""

    entrypoint: str
    payload: Any = None
    priority: int | None = None
    queue: str | None = None
    delay: float | timedelta | None = None
    run_at: datetime | timedelta | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    headers: Mapping[str, Any] | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    unique_for: float | timedelta | None = None
    unique_while: str = "unfinished"
    on_duplicate: str = "keep"
    after: Sequence[int | NewJob] = ()
    on_failure: str | None = None


@dataclass(slots=True, frozen=True)
class EnqueuedJob:
    """What became of one enqueued job: its id, and whether it is new or the holder of its key."""

    id: int
    fresh: bool = True


def job_of(entrypoint: str | NewJob, payload: Any, settings: Mapping[str, Any]) -> NewJob:
    """The job that `enqueue` was given: whole, or in pieces. Raises InvalidInput for both."""
    if not isinstance(entrypoint, NewJob):
        return NewJob(entrypoint, payload, **settings)
    for name, value in {"payload": payload, **settings}.items():
        default = _DEFAULTS.get(name)
        if value is not default and value != default:
            raise InvalidInput(f"{name}={value!r} beside a NewJob: give it to the NewJob instead")
    return entrypoint


_DEFAULTS = {each.name: each.default for each in fields(NewJob)}
