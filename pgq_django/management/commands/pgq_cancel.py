"""`manage.py pgq_cancel`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgq_django.management.base import QueueCommand, job_id
from pgq_django.verbs import Verbs, at_once


class Command(QueueCommand):
    help = (
        "Cancel jobs: by id, or every unfinished one that matches. A running one is asked to stop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", type=job_id, help="jobs, or results as in pgq-123")
        parser.add_argument("--task", help="every unfinished job of this task")
        parser.add_argument("--queue", help="every unfinished job of this queue")
        parser.add_argument("--reason", help="kept in the job's history")

    def act(self, verbs: Verbs, **options: Any) -> None:
        filters = options["task"] is not None or options["queue"] is not None
        if bool(options["ids"]) == filters:
            raise CommandError("give ids of jobs, or --task, --queue or both")
        if options["ids"]:
            verdicts = at_once(verbs.cancel(options["ids"], options["reason"]))
            for job, verdict in verdicts.items():
                self.stdout.write(f"{job}: {verdict}")
            return
        count = at_once(verbs.bulk("cancel", entrypoint=options["task"], queue=options["queue"]))
        self.stdout.write(f"{count} cancelled")
