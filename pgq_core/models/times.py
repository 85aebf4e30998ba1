"""Lengths of time, and when a job is due."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from pgq_core.errors import InvalidInput


def due_of(
    run_at: datetime | timedelta | None, delay: float | timedelta | None
) -> tuple[datetime | None, float | None]:
    """When a job is due: an aware datetime, or seconds from the database's now."""
    if run_at is not None and delay is not None:
        raise InvalidInput(f"run_at={run_at!r} and delay={delay!r}: give only one of the two")
    if isinstance(run_at, datetime):
        if run_at.tzinfo is None or run_at.utcoffset() is None:
            raise InvalidInput(
                f"run_at={run_at!r} has no time zone; give an aware datetime, as in "
                "datetime.now(timezone.utc) + timedelta(hours=1), or a timedelta"
            )
        return run_at, None
    if run_at is not None and not isinstance(run_at, timedelta):
        raise InvalidInput(
            f"run_at={run_at!r}: give an aware datetime or a timedelta, or seconds as delay="
        )
    if run_at is not None:
        return None, check_seconds("run_at", run_at)
    return None, None if delay is None else check_seconds("delay", delay)


def check_timeout(value: float | None) -> float | None:
    """Seconds above zero, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidInput(f"timeout={value!r}: give seconds above 0, or None")
    return float(value)


def check_seconds(name: str, value: float | timedelta) -> float:
    """A length of time in seconds, at most a hundred years."""
    wait = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not math.isfinite(wait):
        raise InvalidInput(f"{name}={value!r}: give seconds or a timedelta")
    if not 0 <= wait <= 3.2e9:
        raise InvalidInput(f"{name}={value!r}: give a time from 0 to 100 years")
    return float(wait)


def check_period(value: float | timedelta | None) -> float | None:
    """How long a unique key is held: longer than no time at all."""
    if value is None:
        return None
    seconds = check_seconds("unique_for", value)
    if not seconds:
        raise InvalidInput(f"unique_for={value!r}: give a time above 0, or leave it out")
    return seconds
