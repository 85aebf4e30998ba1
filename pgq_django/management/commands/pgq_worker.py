"""`manage.py pgq_worker`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pgq_core.errors import DatabaseUnreachable, PgqError
from pgq_django.worker import arguments, flags
from pgq_django.worker.process import Process, Settings


class Command(BaseCommand):
    help = "Run jobs until stopped by SIGTERM or SIGINT; a second signal gives running jobs back."
    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own word)

    def add_arguments(self, parser: CommandParser) -> None:
        flags.add(parser)

    def handle(self, **options: Any) -> None:
        try:
            settings = arguments.settings_of(options)
            supervisor = arguments.supervisor_of(options)
            if supervisor is not None:
                sys.exit(supervisor.run())
            self.work(settings)
        except (PgqError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error

    def work(self, settings: Settings) -> None:
        """Be a worker. An error names the entry of DATABASES, which is what people can change."""
        try:
            Process(settings).run()
        except DatabaseUnreachable as error:
            where = f"DATABASES[{settings.database!r}]"
            raise CommandError(f"{where} cannot be reached: {error.__cause__ or error}") from error
