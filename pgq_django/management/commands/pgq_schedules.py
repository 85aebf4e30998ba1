"""`manage.py pgq_schedules`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from pgq_django.management.base import QueueCommand
from pgq_django.verbs import Verbs, at_once


class Command(QueueCommand):
    help = "List schedules with their next ticks; pause, resume, run or delete one."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="as one JSON document")
        for verb in ("pause", "resume", "run", "delete"):
            parser.add_argument(f"--{verb}", metavar="NAME", help=f"{verb} this schedule")

    def act(self, verbs: Verbs, **options: Any) -> None:
        for verb in ("pause", "resume", "run", "delete"):
            if options[verb]:
                made = at_once(getattr(verbs, f"{verb}_schedule")(options[verb]))
                job = "" if made is None else f", job {made}"
                self.stdout.write(f"{options[verb]}: {verb}{job}")
                return
        found = at_once(verbs.get_schedules(3))
        if options["json"]:
            self.write_json(found)
        else:
            self.write_table("Schedules", [row_of(schedule) for schedule in found])


def row_of(schedule: dict[str, Any]) -> dict[str, Any]:
    """One line of the list."""
    ticks = schedule["ticks"]
    return {
        "name": schedule["name"],
        "cron": schedule["cron"],
        "timezone": schedule["timezone"],
        "next": "paused" if schedule["paused_at"] else ticks[0] if ticks else None,
        "last": schedule["last_at"],
        "in code": "yes" if schedule["declared"] else "no live worker",
    }
