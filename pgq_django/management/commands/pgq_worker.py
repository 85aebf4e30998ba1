"""`manage.py pgq_worker`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pgq_core.errors import PgqError
from pgq_django.worker import arguments
from pgq_django.worker.process import Process


class Command(BaseCommand):
    help = "Run jobs until stopped by SIGTERM or SIGINT; a second signal gives running jobs back."
    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own word)

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add(parser)

    def handle(self, **options: Any) -> None:
        supervisor = arguments.supervisor_of(options)
        if supervisor is not None:
            sys.exit(supervisor.run())
        try:
            Process(arguments.settings_of(options)).run()
        except PgqError as error:
            raise CommandError(str(error)) from error
