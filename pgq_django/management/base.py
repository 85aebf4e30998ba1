"""What the commands share."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, connections
from django.utils.timezone import is_aware, localtime

from pgq_core.errors import PgqError
from pgq_django.management.types import alias
from pgq_django.results import LARGEST
from pgq_django.verbs import Verbs


class QueueCommand(BaseCommand):
    """A command on one queue's database; our errors become one line and an exit code."""

    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own word)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database", type=alias, help="the alias the queue lives in (default: TASKS')"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            verbs = Verbs(options["database"])
            reach(verbs.using)
            self.act(verbs, **options)
        except PgqError as error:
            raise CommandError(str(error)) from error

    def act(self, verbs: Verbs, **options: Any) -> None:
        """Do it."""
        raise NotImplementedError

    def write_json(self, value: Any) -> None:
        """One JSON document."""
        self.stdout.write(json.dumps(value, default=plain, indent=2))

    def write_table(self, title: str, rows: list[dict[str, Any]]) -> None:
        """Columns as wide as they need to be."""
        self.stdout.write(self.style.MIGRATE_HEADING(title))
        if not rows:
            self.stdout.write("  none")
            return
        lines = [[str(name) for name in rows[0]]]
        lines += [["" if v is None else shown(v) for v in row.values()] for row in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  " + "  ".join(cells).rstrip())


def reach(using: str) -> None:
    """Connect, or say which entry of DATABASES cannot be reached and why."""
    try:
        connections[using].ensure_connection()
    except (InterfaceError, OperationalError) as error:
        why = " ".join(str(error).split())
        raise CommandError(f"DATABASES[{using!r}] cannot be reached: {why}") from error


def plain(value: Any) -> Any:
    """What JSON does not know."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def shown(value: Any) -> str:
    """A cell."""
    if isinstance(value, datetime):
        if is_aware(value):
            return f"{localtime(value):%Y-%m-%d %H:%M:%S %Z}"
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def job_id(text: str) -> int:
    """A job's id, or a task result's."""
    digits = text.removeprefix("pgq-")
    if not digits.isdecimal() or len(digits) > 19 or int(digits) > LARGEST:
        raise ArgumentTypeError(f"{text!r} is no job: give numbers, or results' ids as in pgq-123")
    return int(digits)
