"""What happened, as the measured part of a page."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.faults import BY_NAME
from tests.chaos.report import HEAD, Result, counted, rows

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
RECOVERY = """\
Seconds from a fault until the jobs it cut began again, and until the next new job began (`pooled`:
aimed at a worker behind PgBouncer):"""


def page(result: Result) -> str:
    """The part of docs/reliability.md that is measured."""
    verdict = result.verdict
    figures = [("figure", "found"), *verdict.lines(), ("processes that died", str(result.deaths))]
    found = {name.partition(" ")[0] for name in result.recovery}
    described = [(name, fault.words) for name, fault in BY_NAME.items() if name in found]
    how = f"`python -m tests.chaos --minutes {result.seconds / 60:g} --seed {result.seed}`"
    parts = [
        f"{how}, lease {result.lease:g} s, {conditions(result.server)}.",
        markdown(figures),
        f"Answers lost or torn by the proxy: {counted(result.answers) or 'none'}.",
        RECOVERY,
        markdown([HEAD, *rows(result.recovery)]),
        markdown([("fault", "what is done"), *described]),
        *(f"Note: {note}." for note in dict.fromkeys(result.notes)),
    ]
    return "\n\n".join(parts)


def conditions(server: str) -> str:
    """Where it ran."""
    return (
        f"PostgreSQL {server}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}"
    )


def markdown(table: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    lines.insert(1, "|" + "---|" * lines[0].count(" |"))
    return "\n".join(lines)


def write(path: Path, result: Result) -> None:
    """Put the measured part into the page. Raises SystemExit when the page has no place for it."""
    found = path.read_text(encoding="utf-8")
    place = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not place.search(found):
        raise SystemExit(f"{path} has no {BEGIN} … {END}")
    new = f"{BEGIN}\n{page(result)}\n{END}"
    path.write_text(place.sub(lambda _: new, found), encoding="utf-8")
