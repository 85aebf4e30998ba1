"""Which of the ticks that are past still fire."""

from __future__ import annotations

from datetime import datetime, timedelta

from pgq_core.schedules.ticks import next_tick

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
