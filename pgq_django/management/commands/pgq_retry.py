"""`manage.py pgq_retry`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgq_django.management.base import QueueCommand, job_id
from pgq_django.management.types import some
from pgq_django.verbs import Verbs, at_once


class Command(QueueCommand):
    help = "Run finished jobs again: by id, or every failed one that matches."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", type=job_id, help="jobs, or results as in pgq-123")
        parser.add_argument("--failed", action="store_true", help="every failed job that matches")
        parser.add_argument("--task", help="with --failed: only this task's")
        parser.add_argument("--queue", help="with --failed: only this queue's")
        parser.add_argument("--limit", type=some, help="with --failed: at most so many")

    def act(self, verbs: Verbs, **options: Any) -> None:
        filters = any(options[name] is not None for name in ("task", "queue", "limit"))
        if bool(options["ids"]) == options["failed"] or (options["ids"] and filters):
            raise CommandError("give ids of jobs, or --failed with --task, --queue, --limit")
        if options["failed"]:
            count = at_once(
                verbs.bulk("retry", entrypoint=options["task"], queue=options["queue"],
                           limit=options["limit"])
            )  # fmt: skip
            self.stdout.write(f"{count} retried")
            return
        for job, verdict in at_once(verbs.retry(options["ids"])).items():
            self.stdout.write(f"{job}: {verdict}")
