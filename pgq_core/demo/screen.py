"""What the demo shows while it runs: lines and a bar on stderr, the table on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pgq_core.demo.report import Report


class Screen:
    """For people, or with `as_json` one JSON document and silence before it."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True, quiet=as_json, highlight=False)
        self._bar: Progress | None = None

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, total: int) -> Iterator[None]:
        """Show a bar meanwhile."""
        columns = TextColumn("hashing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console) as self._bar:
            self._bar.add_task("", total=total)
            yield

    def advance(self, done: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)

    def conclude(self, report: Report) -> None:
        """The table."""
        if self.as_json:
            click.echo(json.dumps(report.facts(), indent=2))
            return
        table = Table("", "", box=SIMPLE_HEAD, show_header=False, show_edge=False, pad_edge=False)
        for name, value in report.rows():
            table.add_row(name, value)
        console = Console(highlight=False)
        console.print(table, width=None if console.is_terminal else 200)
        for path in report.differing[:10]:
            console.print(f"differs: {path}", markup=False)
