"""`manage.py pgq_prune`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from pgq_django.management.base import QueueCommand
from pgq_django.management.types import keeping
from pgq_django.verbs import Verbs, at_once

WEEK, MONTH = timedelta(days=7), timedelta(days=30)


class Command(QueueCommand):
    help = "Delete finished jobs with their history, by age: 12h, 7d, forever. Workers do it, too."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--succeeded", type=keeping, default=WEEK, help="default 7d")
        parser.add_argument("--failed", type=keeping, default=MONTH, help="default 30d")
        parser.add_argument("--cancelled", type=keeping, default=WEEK, help="default 7d")

    def act(self, verbs: Verbs, **options: Any) -> None:
        ages = {name: options[name] for name in ("succeeded", "failed", "cancelled")}
        self.stdout.write(f"{at_once(verbs.prune(**ages))} pruned")
