"""What people type, turned into values: durations, moments, names, ids."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import click

from pgq_core.errors import InvalidInput
from pgq_core.models import check_text
from pgq_core.options import OLDEST

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 3.2e9  # seconds, about 100 years

JOB_ID = click.IntRange(1, 2**63 - 1)
SMALLINT = click.IntRange(-32768, 32767)


def duration(value: str) -> timedelta:
    """Seconds, or a number with s, m, h or d behind it."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([smhd]?)", value.strip())
    if match is None or float(match[1]) * SECONDS[match[2]] > LONGEST:
        raise click.BadParameter(f"{value!r} is no duration; give seconds, or 90s, 10m, 2h, 7d")
    return timedelta(seconds=float(match[1]) * SECONDS[match[2]])


def keeping(value: str) -> timedelta:
    """How long something is kept: a duration, or `forever`, which is a hundred years."""
    return OLDEST if value.strip() == "forever" else duration(value)


def moment(value: str) -> datetime:
    """An ISO date and time with its offset from UTC."""
    hint = "write it as in 2030-01-31T09:00+01:00, or with Z for UTC"
    try:
        # Python 3.10 does not know Z.
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value.strip()))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time; {hint}") from None
    if found.utcoffset() is None:
        raise click.BadParameter(f"{value!r} has no time zone; {hint}")
    return found


def name(value: str) -> str:
    """The name of a queue, an entrypoint or a key."""
    try:
        return check_text("name", value)
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from None
