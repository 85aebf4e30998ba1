"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgq_core.models import Attempt, Job

LONG = 1000  # characters of a payload or result shown to people

# What a terminal obeys: nobody's job may move the cursor or change the colours.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, default=_plain_value, indent=2))


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """A table as wide as the terminal; as wide as its content where there is none."""
    table = Table(*columns, box=SIMPLE_HEAD, title=title or None, title_justify="left",
                  pad_edge=False, show_edge=False)  # fmt: skip
    for row in rows:
        table.add_row(*(Text(shown(cell), overflow="fold") for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def say(text: str) -> None:
    """A line for people."""
    click.echo(harmless(text))


def shown(value: Any) -> str:
    """A cell: nothing for None, local time for moments."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return harmless(str(value))


def short(text: str) -> str:
    """The beginning of a text that would fill the screen."""
    if len(text) <= LONG:
        return text
    return f"{text[:LONG]}… ({len(text)} characters; --json shows all)"


def harmless(text: str) -> str:
    """Text with its control characters made visible."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def age(moment: datetime | None) -> str:
    """How long ago, in the unit that fits; `in …` for the future."""
    if moment is None:
        return ""
    seconds = (datetime.now(timezone.utc) - moment).total_seconds()
    return span(seconds) if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """A length of time: 3 ms, 12 s, 5 min, 3 h, 2 d."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def job_facts(job: Job) -> dict[str, Any]:
    """A job as JSON: the payload as text, as base64 where it is none."""
    facts = {field.name: getattr(job, field.name) for field in fields(job)}
    facts["state"] = job.state.value
    return {**facts, **payload_facts(job.payload)}


def schedule_facts(schedule: dict[str, Any]) -> dict[str, Any]:
    """A schedule as JSON."""
    return {**schedule, **payload_facts(schedule["payload"])}


def payload_facts(data: bytes | None) -> dict[str, str | None]:
    """A payload as text, or as base64."""
    try:
        return {"payload": None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {"payload": None, "payload_base64": base64.b64encode(data or b"").decode()}


def attempt_facts(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON."""
    return attempt._asdict()
