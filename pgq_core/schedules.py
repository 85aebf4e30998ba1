"""Cron rules: checked when they are registered."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgq_core.errors import InvalidInput

CATCH_UP = ("skip", "last", "all")


@dataclass(frozen=True)
class ScheduleRule:
    """One cron rule declared in code; firing it enqueues a job for `entrypoint`."""

    name: str
    cron: str
    timezone: str = "UTC"
    catch_up: str = "last"
    entrypoint: str = ""
    queue: str = "default"
    priority: int = 5
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_cron(self.cron)
        check_timezone(self.timezone)
        if self.catch_up not in CATCH_UP:
            raise InvalidInput(f"catch_up={self.catch_up!r}: give one of {', '.join(CATCH_UP)}")


def check_cron(cron: str) -> str:
    """A rule of five fields or an alias such as @daily. Raises InvalidInput."""
    # croniter pulls in dateutil; most programs never register a schedule.
    from croniter import croniter

    hint = "give five fields, as in '0 9 * * *' (9:00 every day), or '@daily'"
    if not isinstance(cron, str) or not cron.strip():
        raise InvalidInput(f"cron={cron!r}: {hint}")
    if not cron.startswith("@") and len(cron.split()) != 5:
        raise InvalidInput(f"cron={cron!r} has {len(cron.split())} fields; {hint}")
    try:
        croniter(cron)
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"cron={cron!r} is no cron rule ({error}); {hint}") from None
    return cron


def check_timezone(name: str) -> ZoneInfo:
    """A time zone of the system's database. Raises InvalidInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InvalidInput(
            f"timezone={name!r} is unknown; give an IANA name such as 'Europe/Paris' or 'UTC'"
        ) from None
