"""What people type after a flag or into a variable, turned into values."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta

from django.db import connections

from pgq_core.options import OLDEST

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """Seconds, or 30s, 15m, 12h, 7d."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([smhd]?)", text.strip())
    length = float(match[1]) * UNITS[match[2]] if match else -1
    if not 0 <= length <= OLDEST.total_seconds():
        raise ArgumentTypeError(f"{text!r} is no duration; give seconds, or 90s, 10m, 2h, 7d")
    return timedelta(seconds=length)


def seconds(text: str) -> float:
    """A duration, as a number."""
    return duration(text).total_seconds()


def count(text: str) -> int:
    """A number of things, 0 or more."""
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError(f"{text!r} is no count; give a number from 0 to 999,999,999")
    return int(text)


def some(text: str) -> int:
    """A count of at least one."""
    if count(text) == 0:
        raise ArgumentTypeError("0 is none; give 1 or more")
    return count(text)


def keeping(text: str) -> timedelta:
    """How long something is kept: a duration, or `forever`, which is a hundred years."""
    return OLDEST if text.strip() == "forever" else duration(text)


def switch(text: str) -> bool:
    """A yes or no from the environment."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ArgumentTypeError("give 1 or 0")


def alias(text: str) -> str:
    """An entry of DATABASES."""
    if text not in connections.settings:
        there = ", ".join(connections.settings)
        raise ArgumentTypeError(f"{text!r} is not in DATABASES; there are: {there}")
    return text
