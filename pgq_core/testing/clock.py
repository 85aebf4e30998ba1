"""A clock that a test sets."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pgq_core.errors import InvalidInput


class Clock:
    """Stands still until it is moved: `await run_pending(pgq, now=clock.move(hours=1))`."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = checked(start or datetime.now(timezone.utc))

    def move(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Go forward, and return the new time."""
        self.now += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.now

    def set(self, moment: datetime) -> datetime:
        """Go to a moment, and return it."""
        self.now = checked(moment)
        return self.now


def checked(moment: datetime) -> datetime:
    """A time that everybody understands the same way."""
    if moment.utcoffset() is None:
        raise InvalidInput(f"{moment!r} has no time zone; give an aware datetime")
    return moment
