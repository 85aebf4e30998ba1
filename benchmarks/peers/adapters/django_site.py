"""A Django site for the peers that are backends of Django's Tasks."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks.peers.job import payload

LACKS: dict[str, str] = {}


def setup(dsn: str, apps: list[str], backend: dict[str, Any], pool: int) -> None:
    """Configure Django for this database and this backend."""
    import django
    from django.conf import settings

    parts = urlsplit(dsn)
    database = {
        "ENGINE": "django.db.backends.postgresql", "NAME": unquote(parts.path[1:]),
        "HOST": parts.hostname, "PORT": parts.port, "USER": parts.username,
        "PASSWORD": parts.password, "CONN_MAX_AGE": None,
        **({"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"min_size": 1, "max_size": pool}}} if pool else {}),
    }  # fmt: skip
    settings.configure(
        INSTALLED_APPS=apps, DATABASES={"default": database}, TASKS={"default": backend},
        USE_TZ=True, DEBUG=False, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )  # fmt: skip
    django.setup()


def command(*words: str) -> None:
    """A management command, in this process."""
    from django.core.management import execute_from_command_line

    sys.argv = ["manage.py", *words]
    execute_from_command_line(sys.argv)


class Producer:
    """`enqueue` of Django's Tasks."""

    def __init__(self) -> None:
        from benchmarks.peers.adapters.django_tasks import note

        self.note = note

    def one(self, number: int) -> None:
        """One transaction."""
        self.note.enqueue(**payload(number))


def verbs(
    setup: Callable[[str], None], made: type[Producer]
) -> tuple[Callable[[str], None], Callable[[str, int], AbstractAsyncContextManager[Producer]]]:
    """An adapter's `prepare`, which migrates, and its `producer`, whose threads have a connection
    each."""

    def prepare(dsn: str) -> None:
        setup(dsn)
        command("migrate", "-v", "0")

    @asynccontextmanager
    async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:  # noqa: ARG001
        setup(dsn)
        yield made()

    return prepare, producer
