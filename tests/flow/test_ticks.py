"""When a rule fires: compared with an oracle that reads the wall clock minute by minute."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgq_core.schedules import due_ticks, means_elapsed_time, next_tick, next_ticks

UTC = timezone.utc
EARLIEST, LATEST = datetime(1970, 1, 2), datetime(2037, 12, 1)  # noqa: DTZ001
WEEK, DAY, HOUR, MINUTE = (
    timedelta(days=7), timedelta(days=1), timedelta(hours=1), timedelta(minutes=1),
)  # fmt: skip

# Half an hour at Lord Howe, a day skipped at Apia, two changes within a month in Casablanca, minus
# forty-four and a half minutes in Monrovia until 1972, midnights that do not exist in São Paulo.
ZONES = [
    "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata",
    "UTC", "Pacific/Apia", "Africa/Casablanca", "Africa/Monrovia", "Asia/Gaza", "Europe/Dublin",
    "Antarctica/Troll", "America/Caracas", "Africa/Cairo",
]  # fmt: skip
FIXED = ["30 2 * * *", "0 0 * * *", "*/20 1-3 * * *", "59 23 * * *", "0 9 * * *", "5 0,1,2,3 * * *"]
ELAPSED = ["*/13 * * * *", "15 * * * *", "0 */2 * * *", "*/7 * * * *", "@hourly"]


class Piece(NamedTuple):
    """A time during which the clock is not changed."""

    start: datetime
    end: datetime
    offset: timedelta


def offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


def change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The second at which the offset changes between two instants."""
    before = offset_at(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if offset_at(zone, middle) == before else (low, middle)
    return high.replace(microsecond=0)


def pieces(zone: ZoneInfo, start: datetime, end: datetime) -> list[Piece]:
    """The time from start to end, cut where the offset changes."""
    found, begin, at = [], start, start
    while at < end:
        after = at + timedelta(minutes=30)
        if offset_at(zone, after) != offset_at(zone, at):
            cut = change(zone, at, after)
            found.append(Piece(begin, cut, offset_at(zone, begin)))
            begin = cut
        at = after
    return [*found, Piece(begin, end, offset_at(zone, begin))]


def oracle(cron: str, name: str, start: datetime, end: datetime) -> list[datetime]:
    """Every tick after start, up to end, straight from the words.

    A wall-clock time that is shown once fires then; one shown twice fires the first time, or for a
    rule that means elapsed time both times; one never shown fires when the clock skips it, or not.
    """
    cut = pieces(ZoneInfo(name), start - 2 * DAY, end + 2 * DAY)
    elapsed = means_elapsed_time(cron)
    ticks: set[datetime] = set()
    last = (end + 2 * DAY).astimezone(ZoneInfo(name)).replace(tzinfo=None)
    rule = croniter(cron, (cut[0].start + cut[0].offset).replace(tzinfo=None) - MINUTE)
    while (wall := rule.get_next(datetime)) <= last:
        shown = [
            moment
            for piece in cut
            if piece.start <= (moment := (wall - piece.offset).replace(tzinfo=UTC)) < piece.end
        ]
        ticks.update(shown if elapsed else shown[:1])
        if not shown and not elapsed:
            ticks.update(
                after.start
                for before, after in pairwise(cut)
                if (before.end + before.offset).replace(tzinfo=None)
                <= wall
                < (after.start + after.offset).replace(tzinfo=None)
            )
    return sorted(tick for tick in ticks if start < tick <= end)


def walk(cron: str, name: str, start: datetime, end: datetime) -> list[datetime]:
    """The same by next_tick, one after the other."""
    found = [next_tick(cron, name, start)]
    while found[-1] <= end:
        found.append(next_tick(cron, name, found[-1]))
    return found[:-1]


@cache
def changes(name: str) -> list[datetime]:
    """Every change of the clock from 1970 to 2037."""
    zone, at = ZoneInfo(name), datetime(1970, 1, 1, tzinfo=UTC)
    found = []
    while at.year < 2038:
        if offset_at(zone, at) != offset_at(zone, at + WEEK):
            found.append(change(zone, at, at + WEEK))
        at += WEEK
    return found


@given(name=st.sampled_from(ZONES), cron=st.sampled_from(FIXED + ELAPSED), data=st.data())
@settings(max_examples=80)
def test_around_a_change_of_the_clock(name: str, cron: str, data: st.DataObject) -> None:
    """From the day before a change of the clock to the day after, in any zone and year from 1970 to
    2037, the ticks are exactly those that the oracle reads off the wall clock."""
    known = changes(name) or [datetime(2026, 3, 29, 1, tzinfo=UTC)]
    at = data.draw(st.sampled_from(known))
    start, end = at - 26 * HOUR, at + 30 * HOUR
    assert walk(cron, name, start, end) == oracle(cron, name, start, end)


@given(
    name=st.sampled_from(ZONES),
    cron=st.sampled_from(
        [*FIXED, *ELAPSED, "0 12 * * mon-fri", "0 0 1 * *", "@weekly", "0 0 29 2 *"]
    ),
    after=st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)),
)
@example("Pacific/Apia", "0 9 * * *", datetime(2011, 12, 29, 19, 0, tzinfo=UTC))
@settings(max_examples=150)
def test_ticks_strictly_increase(name: str, cron: str, after: datetime) -> None:
    """Ticks lie strictly behind the instant asked about and each other, and the next tick is the
    same from wherever before it one asks."""
    ticks = next_ticks(cron, name, after, 4)
    assert all(one < two for one, two in pairwise([after, *ticks]))
    assert next_tick(cron, name, ticks[0] - timedelta(microseconds=1)) == ticks[0]
    between = after + (ticks[0] - after) / 2
    if between < ticks[0]:
        assert next_tick(cron, name, between) == ticks[0]


def local(name: str, *wall: int, fold: int = 0) -> datetime:
    return datetime(*wall, tzinfo=ZoneInfo(name), fold=fold).astimezone(UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("name", "day", "cron", "at"),
    [
        ("Europe/Paris", (2026, 3, 29), "30 2 * * *", (3, 0)),
        ("America/New_York", (2026, 3, 8), "*/10 2 * * *", (3, 0)),
        ("Australia/Lord_Howe", (2026, 10, 4), "15 2 * * *", (2, 30)),
        ("America/Sao_Paulo", (2018, 11, 4), "0 0 * * *", (1, 0)),
    ],
)
def test_a_time_in_the_spring_gap(
    name: str, day: tuple[int, int, int], cron: str, at: tuple[int, int]
) -> None:
    """A fixed time that spring skips runs once, right after the gap."""
    start = local(name, *day) - HOUR if at != (1, 0) else local(name, *day, 1) - MINUTE
    ticks = walk(cron, name, start, start + 20 * HOUR)
    assert ticks == [local(name, *day, *at)]


def test_a_day_that_does_not_exist() -> None:
    """Apia went from 29 to 31 December 2011: what was due on the 30th runs once, at the 31st's
    first moment."""
    name = "Pacific/Apia"
    start = local(name, 2011, 12, 29, 9, 0)
    ticks = walk("0 9 * * *", name, start, start + 2 * DAY)
    assert ticks == [
        local(name, 2011, 12, 31),
        local(name, 2011, 12, 31, 9),
        local(name, 2012, 1, 1, 9),
    ]


@pytest.mark.parametrize(
    ("name", "day", "wall"),
    [("Europe/Paris", (2026, 10, 25), (2, 30)), ("America/New_York", (2026, 11, 1), (1, 30)),
     ("Australia/Lord_Howe", (2026, 4, 5), (1, 45))],
)  # fmt: skip
def test_a_time_in_the_autumn_overlap(
    name: str, day: tuple[int, int, int], wall: tuple[int, int]
) -> None:
    """A fixed time that autumn repeats runs once, the first time; `*` hours run in both passes."""
    start = local(name, *day) - MINUTE
    once = walk(f"{wall[1]} {wall[0]} * * *", name, start, start + 10 * HOUR)
    assert once == [local(name, *day, *wall)]
    both = walk(f"{wall[1]} * * * *", name, start, start + 10 * HOUR)
    repeated = [local(name, *day, *wall, fold=fold) for fold in (0, 1)]
    assert [tick for tick in both if tick in repeated] == repeated


@pytest.mark.parametrize("name", ["Europe/Paris", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_every_minute_is_every_minute(name: str) -> None:
    """`* * * * *` runs once a minute over a whole year, changes of the clock included."""
    zone, year = ZoneInfo(name), 2026
    for moment in changes(name):
        if moment.year == year:
            ticks = walk("* * * * *", name, moment - 3 * HOUR, moment + 3 * HOUR)
            assert {two - one for one, two in pairwise(ticks)} == {MINUTE}
    assert zone.key == name


# -- catching up ----------------------------------------------------------------------------------


NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("catch_up", "late", "fired"),
    [("skip", 30, 1), ("last", 30, 1), ("all", 30, 1),
     ("skip", 3600, 1), ("last", 3600, 1), ("all", 3600, 61)],
)  # fmt: skip
def test_catching_up(catch_up: str, late: int, fired: int) -> None:
    """Of the ticks missed while nothing ran: `all` fires each, `last` the newest, `skip` none that
    is a minute late."""
    first = (NOW - timedelta(seconds=late)).replace(second=0)
    ticks, upcoming = due_ticks("* * * * *", "UTC", catch_up, first, NOW)
    assert len(ticks) == fired
    assert ticks[-1] == NOW.replace(second=0)
    assert upcoming == NOW.replace(second=0) + MINUTE


def test_skip_fires_nothing_late() -> None:
    """Under `skip` an hourly tick missed by ten minutes is not made up for."""
    first = NOW.replace(hour=9, minute=0, second=0)
    at = NOW.replace(hour=11, minute=10)
    assert due_ticks("0 * * * *", "UTC", "skip", first, at) == ([], NOW.replace(minute=0, second=0))


@pytest.mark.parametrize("catch_up", ["skip", "last", "all"])
@pytest.mark.parametrize("cron", ["* * * * *", "0 3 * * *", "*/5 3 * * *", "0 0 1 1 *"])
def test_catching_up_is_bounded(catch_up: str, cron: str) -> None:
    """After years of standstill at most the newest thousand ticks are fired, and finding them takes
    a moment, however many were missed."""
    first = next_tick(cron, "Europe/Paris", NOW - timedelta(days=9 * 365))
    started = time.process_time()
    ticks, upcoming = due_ticks(cron, "Europe/Paris", catch_up, first, NOW)
    assert time.process_time() - started < 2.0
    assert len(ticks) <= (1000 if catch_up == "all" else 1)
    assert upcoming > NOW
    if catch_up == "all":
        assert next_tick(cron, "Europe/Paris", ticks[-1]) == upcoming
        assert all(next_tick(cron, "Europe/Paris", a) == b for a, b in pairwise(ticks[:50]))


@given(
    cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0 */5 * * *", "0 3 * * *"]),
    catch_up=st.sampled_from(["last", "all"]),
    minutes=st.integers(0, 4000),
)
@settings(max_examples=40)
def test_catching_up_finds_the_same_ticks(cron: str, catch_up: str, minutes: int) -> None:
    """Looking back from now finds exactly the ticks that counting from the first one finds."""
    first = next_tick(cron, "America/New_York", NOW - timedelta(minutes=minutes, days=80))
    now = first + timedelta(minutes=minutes)
    every = [first]
    while (tick := next_tick(cron, "America/New_York", every[-1])) <= now:
        every.append(tick)
    wanted = every[-1000:] if catch_up == "all" else every[-1:]
    assert due_ticks(cron, "America/New_York", catch_up, first, now) == (wanted, tick)
