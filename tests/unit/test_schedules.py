"""Cron rules are checked when they are declared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgq_core.errors import InvalidInput
from pgq_core.schedules import ScheduleRule, check_cron, check_timezone


@pytest.mark.parametrize(
    "cron", ["* * * * *", "0 9 * * *", "*/5 8-18 * * mon-fri", "0 0 1,15 * *", "@daily", "@hourly"]
)
def test_rules(cron: str) -> None:
    """A rule has five fields, or is an alias such as @daily."""
    assert check_cron(cron) == cron


@pytest.mark.parametrize(
    "cron",
    ["", "  ", "* * * *", "* * * * * *", "61 * * * *", "0 25 * * *", "nonsense", "@never",
     "a b c d e", "0 0 31 2 *", None, 5],
)  # fmt: skip
def test_what_is_no_rule(cron: Any) -> None:
    """What is no rule is refused by name, with an example of one."""
    with pytest.raises(InvalidInput, match="cron=") as raised:
        check_cron(cron)
    assert repr(cron) in str(raised.value)


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/New_York"])
def test_time_zones(name: str) -> None:
    """A time zone is an IANA name."""
    assert check_timezone(name).key == name


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", None, 5])
def test_what_is_no_time_zone(name: Any) -> None:
    """An unknown time zone is refused by name, with examples."""
    with pytest.raises(InvalidInput, match="Europe/Paris"):
        check_timezone(name)


@pytest.mark.parametrize(
    "wrong", [{"cron": "nonsense"}, {"timezone": "nowhere"}, {"catch_up": "sometimes"}]
)
def test_a_wrong_rule_is_refused(wrong: dict[str, Any]) -> None:
    """A schedule with a wrong rule, zone or way to catch up is refused where it is declared."""
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        ScheduleRule(**{"name": "tick", "cron": "* * * * *"} | wrong)


@pytest.mark.parametrize("catch_up", ["skip", "last", "all"])
def test_ways_to_catch_up(catch_up: str) -> None:
    """Missed ticks are skipped, fired once, or all fired."""
    assert ScheduleRule("tick", "* * * * *", catch_up=catch_up).catch_up == catch_up


def test_jitter() -> None:
    """Jitter is seconds, or a timedelta."""
    assert ScheduleRule("tick", "* * * * *", jitter=timedelta(minutes=1)).jitter == 60.0
