"""`manage.py pgq_health`: exit code 0 when all is well, 1 when something is not."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError

from pgq_core.errors import PgqError
from pgq_django.management.base import QueueCommand
from pgq_django.management.types import count, seconds
from pgq_django.verbs import Verbs, at_once


class Command(QueueCommand):
    help = "For probes: exit code 0 when healthy, 1 when not; says why."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="as one JSON document")
        parser.add_argument("--min-workers", type=count, default=1, help="live workers (default 1)")
        parser.add_argument("--max-wait", type=seconds, help="for the oldest ready job: 90, 5m")
        parser.add_argument("--max-failed", type=count, help="failed jobs in the last hour")
        parser.add_argument("--file", type=Path, help="look only at a worker's --health-file")
        parser.add_argument("--file-age", type=seconds, default=15.0, help="it may be old (15s)")

    def handle(self, *args: Any, **options: Any) -> None:
        problems, figures = findings(options)
        if options["json"]:
            self.write_json({"healthy": not problems, "problems": problems, **figures})
        elif problems:
            self.stderr.write("\n".join(problems))
        else:
            self.stdout.write("healthy")
        if problems:
            sys.exit(1)


def findings(options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """What is wrong, and the figures behind it."""
    if options["file"] is not None:
        return file_problems(options["file"], options["file_age"]), {}
    try:
        verbs = Verbs(options["database"])
        at_once(verbs.check_version())
        figures = at_once(verbs.health())
    except (PgqError, DatabaseError) as error:
        return [str(error).strip()], {}
    return problems_in(figures, options), figures


def file_problems(path: Path, age: float) -> list[str]:
    """Whether a worker touches its file."""
    try:
        old = time.time() - path.stat().st_mtime
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return [f"{path} is {old:.0f} s old, {age:.0f} are allowed"] if old > age else []


def problems_in(figures: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """The figures against their limits."""
    wait, limit = figures["oldest_ready"] or 0.0, options["max_wait"]
    problems = []
    if figures["workers"] < options["min_workers"]:
        problems.append(f"{figures['workers']} live workers, {options['min_workers']} are wanted")
    if limit is not None and wait > limit:
        problems.append(f"the oldest ready job waits for {wait:.0f} s, {limit:.0f} are allowed")
    if options["max_failed"] is not None and figures["failed_last_hour"] > options["max_failed"]:
        problems.append(f"{figures['failed_last_hour']} jobs failed in the last hour")
    return problems
