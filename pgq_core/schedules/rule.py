"""A cron rule, checked when it is registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgq_core.errors import InvalidInput
from pgq_core.models import check_choice, check_seconds, check_text

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
    jitter: float | timedelta = 0.0
    payload: bytes | None = None

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_cron(self.cron)
        check_timezone(self.timezone)
        check_choice("catch_up", self.catch_up, CATCH_UP)
        object.__setattr__(self, "jitter", check_seconds("jitter", self.jitter))


def check_cron(cron: str) -> str:
    """A rule of five fields or an alias such as @daily. Raises InvalidInput."""
    # croniter pulls in dateutil; most programs never register a schedule.
    from croniter import croniter  # noqa: PLC0415

    hint = "give five fields, as in '0 9 * * *' (9:00 every day), or '@daily'"
    if not isinstance(cron, str) or not cron.strip():
        raise InvalidInput(f"cron={cron!r}: {hint}")
    if not cron.startswith("@") and len(cron.split()) != 5:
        raise InvalidInput(f"cron={cron!r} has {len(cron.split())} fields; {hint}")
    if re.search(r"\b[hr]\b", cron, re.IGNORECASE):  # croniter's H and R: a time drawn at random
        raise InvalidInput(f"cron={cron!r}: give fixed times, and jitter= to spread them")
    try:
        croniter(cron, datetime(2026, 1, 1)).get_next(datetime)  # noqa: DTZ001  (local time)
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
