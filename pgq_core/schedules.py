"""Cron rules: checked when they are registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
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


# Clock changes. A rule with a fixed hour means the wall clock: a time that spring skips runs once,
# right after the gap; a time that autumn repeats runs once, the first time. A rule whose hour is
# `*` or `*/n` means elapsed time: it runs in both passes of the repeated hour, and an hour that is
# skipped is not made up for.
_MARGIN = timedelta(hours=4)  # longer than any hour that a clock repeats


def next_tick(cron: str, zone_name: str, after: datetime) -> datetime:
    """The first instant after `after` (aware) at which the rule fires, in UTC."""
    from croniter import croniter  # noqa: PLC0415  (as above)

    zone, elapsed = check_timezone(zone_name), means_elapsed_time(cron)
    after = after.astimezone(timezone.utc)
    # Soon the clock is put back: times it shows already will come once more.
    repeats = elapsed and offset(zone, after + _MARGIN) < offset(zone, after)
    rule = croniter(cron, naive(after - _MARGIN if repeats else after, zone))
    best: datetime | None = None
    while True:
        ticks = instants(rule.get_next(datetime), zone, elapsed)
        for tick in ticks:
            if tick > after and (best is None or tick < best):
                best = tick
        # Later times of the clock are not shown earlier, the first time they are shown.
        if ticks and best is not None and best <= ticks[0]:
            return best


def instants(wall: datetime, zone: ZoneInfo, elapsed: bool) -> list[datetime]:
    """The instants, in UTC, at which a wall clock shows this time; see the rule above."""
    first, second = (
        wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1)
    )
    if naive(first, zone) != wall:  # spring skips it: fold 0 is the old offset, after the gap
        return [] if elapsed else [gap_end(first, second, zone)]
    return [first, second] if elapsed and second != first else [first]


def gap_end(first: datetime, second: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after a gap that lies between the two readings of a skipped time."""
    low, high = min(first, second), max(first, second)
    before = offset(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    """How far the clock is ahead of UTC."""
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def naive(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the wall clock shows."""
    return moment.astimezone(zone).replace(tzinfo=None)


def means_elapsed_time(cron: str) -> bool:
    """Whether a rule runs every hour or every few, rather than at hours of the day."""
    if cron.startswith("@"):
        return cron.lower() == "@hourly"
    return cron.split()[1].startswith("*")


def next_ticks(cron: str, zone_name: str, after: datetime, count: int) -> list[datetime]:
    """The next few ticks."""
    ticks: list[datetime] = []
    for _ in range(count):
        ticks.append(next_tick(cron, zone_name, ticks[-1] if ticks else after))
    return ticks


PUNCTUAL = timedelta(minutes=1)  # a tick this late is not a missed one
MOST_MISSED = 1000


def due_ticks(
    cron: str, zone_name: str, catch_up: str, first: datetime, now: datetime
) -> tuple[list[datetime], datetime]:
    """The ticks to fire of those from `first` to `now`, and the next one after.

    `skip` fires only a tick that is not a minute late, `last` the newest, `all` each, at most the
    newest thousand.
    """
    most = MOST_MISSED if catch_up == "all" else 1
    ticks = newest_ticks(cron, zone_name, first, now, most)
    if catch_up == "skip":
        ticks = [tick for tick in ticks if now - tick < PUNCTUAL]
    return ticks, next_tick(cron, zone_name, now)


def newest_ticks(
    cron: str, zone_name: str, first: datetime, now: datetime, most: int
) -> list[datetime]:
    """The newest of the ticks from `first`, itself one, to `now`.

    Looks back further and further: the work grows with what is wanted, not with what was missed.
    """
    span = timedelta(hours=1)
    while True:
        whole = now - first <= span
        ticks = [first] if whole else []
        upcoming = next_tick(cron, zone_name, first if whole else now - span)
        while upcoming <= now:
            ticks.append(upcoming)
            upcoming = next_tick(cron, zone_name, upcoming)
        if whole or len(ticks) >= most:
            return ticks[-most:]
        span *= 2 + most // (len(ticks) + 1)
