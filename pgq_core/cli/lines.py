"""Jobs written as JSON, one to a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import click

from pgq_core.cli.types import duration, moment
from pgq_core.models import NewJob

FIELDS = tuple(field.name for field in fields(NewJob))
TYPED: Mapping[str, Callable[[str], Any]] = {
    "delay": duration, "unique_for": duration, "run_at": moment,
    "timeout": lambda text: duration(text).total_seconds(),
}  # fmt: skip


def read_jobs(lines: Iterable[str]) -> list[NewJob]:
    """The jobs of a file, one at least; empty lines do not count."""
    jobs = [read_job(text, f"line {n}") for n, text in enumerate(lines, start=1) if text.strip()]
    if not jobs:
        raise click.UsageError("there are no jobs; give at least one, as JSON on a line")
    return jobs


def read_callback(text: str | None, option: str) -> NewJob | None:
    """A job from an option: JSON as on a line, or just the name of its entrypoint."""
    if text is None:
        return None
    return read_job(text, option) if text.lstrip().startswith("{") else NewJob(text)


def read_job(text: str, place: str) -> NewJob:
    """One job: an object with "entrypoint" and, if wanted, other fields of a NewJob."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{place} is no JSON: {error}") from None
    if not isinstance(said, dict) or not isinstance(said.get("entrypoint"), str):
        raise click.UsageError(f'{place}: give an object with an "entrypoint", as in '
                               '{"entrypoint": "resize", "payload": {"image": 7}}')  # fmt: skip
    if unknown := [name for name in said if name not in FIELDS]:
        known = ", ".join(FIELDS)
        raise click.UsageError(f"{place}: {unknown[0]!r} is no field of a job; there are {known}")
    try:
        return NewJob(**{name: typed(name, value) for name, value in said.items()})
    except click.BadParameter as error:
        raise click.UsageError(f"{place}: {error.message}") from None


def typed(name: str, value: Any) -> Any:
    """Durations and moments are texts in JSON, as they are for other commands."""
    return TYPED[name](value) if name in TYPED and isinstance(value, str) else value
