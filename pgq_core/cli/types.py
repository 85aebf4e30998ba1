"""What people type, turned into values: durations, moments, names, ids."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

from pgq_core.errors import InvalidInput
from pgq_core.models import check_text

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

JOB_ID = click.IntRange(1, 2**63 - 1)
SMALLINT = click.IntRange(-32768, 32767)


class Duration(click.ParamType):
    """Seconds, or a number with s, m, h or d behind it."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value.strip())
        if match is None or float(match[1]) * SECONDS[match[2]] > 3.2e9:
            self.fail(f"{value!r} is no duration; give seconds, or 90s, 10m, 2h, 7d", param, ctx)
        return timedelta(seconds=float(match[1]) * SECONDS[match[2]])


class Moment(click.ParamType):
    """An ISO date and time with its offset from UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        hint = "write it as in 2030-01-31T09:00+01:00, or with Z for UTC"
        try:
            # Python 3.10 does not know Z.
            moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value.strip()))
        except ValueError:
            self.fail(f"{value!r} is no time; {hint}", param, ctx)
        if moment.utcoffset() is None:
            self.fail(f"{value!r} has no time zone; {hint}", param, ctx)
        return moment


class Name(click.ParamType):
    """The name of a queue, an entrypoint or a key."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return check_text(param.name if param else "name", value)
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


DURATION, MOMENT, NAME = Duration(), Moment(), Name()
