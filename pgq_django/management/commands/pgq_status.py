"""`manage.py pgq_status`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandParser

from pgq_django.management.base import QueueCommand
from pgq_django.management.types import seconds
from pgq_django.verbs import Verbs, at_once


class Command(QueueCommand):
    help = "Show what waits, what runs, who works, and what nobody serves."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="as one JSON document")
        parser.add_argument(
            "--watch", nargs="?", type=seconds, const=2.0, metavar="SECONDS", help="again and again"
        )

    def act(self, verbs: Verbs, **options: Any) -> None:
        write = self.write_json if options["json"] else self.write_text
        write(status(verbs))
        with suppress(KeyboardInterrupt):
            while options["watch"] is not None:
                time.sleep(options["watch"])
                write(status(verbs))

    def write_text(self, found: dict[str, Any]) -> None:
        """For people."""
        self.write_table("Jobs", [{**found["jobs"], "failed (1 h)": found["failed_last_hour"]}])
        self.write_table("Waiting", found["lanes"])
        self.write_table("Workers", found["workers"])
        if found["paused"]:
            self.write_table("Paused", found["paused"])
        if found["unserved"]:
            self.stderr.write(self.style.WARNING("Jobs that no worker serves"))
            self.write_table("", found["unserved"])


def status(verbs: Verbs) -> dict[str, Any]:
    """Everything the command shows."""
    health = at_once(verbs.health())
    workers = [
        {name: worker[name] for name in ("worker_id", "name", "running", "beat_age", "listener")}
        for worker in at_once(verbs.workers())
    ]
    return {
        "jobs": at_once(verbs.states()),
        "failed_last_hour": health["failed_last_hour"],
        "oldest_ready": health["oldest_ready"],
        "lanes": [row.dict() for row in at_once(verbs.call("lane_depths")) if row["depth"]],
        "workers": workers,
        "paused": [row.dict() for row in at_once(verbs.call("cli_paused"))],
        "unserved": at_once(verbs.unserved()),
    }
