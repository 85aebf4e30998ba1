"""When a rule fires, on clocks that are put forward and back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from pgq_core.schedules.rule import check_timezone

# Clock changes. A rule with a fixed hour means the wall clock: a time that spring skips runs once,
# right after the gap; a time that autumn repeats runs once, the first time. A rule whose hour is
# `*` or `*/n` means elapsed time: it runs in both passes of the repeated hour, and an hour that is
# skipped is not made up for.
_MARGIN = timedelta(hours=4)  # longer than any hour that a clock repeats


def next_tick(cron: str, zone_name: str, after: datetime) -> datetime:
    """The first instant after `after` (aware) at which the rule fires, in UTC."""
    from croniter import croniter  # noqa: PLC0415  (as in check_cron)

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
