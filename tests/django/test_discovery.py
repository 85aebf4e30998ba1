"""What a worker finds to serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

import pgq_django
from pgq_core import PgQueuer
from pgq_django import schedules
from pgq_django.worker import discovery
from pgq_django.worker.discovery import Discovery
from tests.django.shop import tasks
from tests.django.support import alias_on


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """A function that declares a schedule for a task."""
    monkeypatch.setattr(schedules, "_rules", {})
    return pgq_django.schedule("0 3 * * *", name="nightly")


def declared(using: str) -> list[str]:
    """The schedules of a worker on this alias."""
    finder = Discovery(PgQueuer(), using)
    finder.begin()
    return list(finder.pgq.registry.schedules)


def queues(*aliases: str) -> Any:
    """TASKS with one queue per database."""
    path = "pgq_django.PgqBackend"
    return override_settings(
        TASKS={alias: {"BACKEND": path, "OPTIONS": {"database": alias}} for alias in aliases}
    )


def test_a_schedule_fires_in_one_of_several_queues(database: str, db: Any, nightly: Any) -> None:
    """With queues in two databases a schedule fires in the one its task belongs to, not in both."""
    with alias_on(database), queues("default", "other"):
        nightly(tasks.thread_name.using(backend="other"))
        assert (declared("default"), declared("other")) == ([], ["nightly"])


def test_a_schedule_fires_on_another_road(db: Any, django_dsn: str, nightly: Any) -> None:
    """A worker fires schedules on whichever alias it reaches their queue's database by."""
    nightly(tasks.thread_name)
    with alias_on(django_dsn):
        assert (declared("default"), declared("other")) == (["nightly"], ["nightly"])


def test_a_queue_that_is_away_stops_no_other(db: Any, django_dsn: str, nightly: Any) -> None:
    """A database that cannot be reached does not keep the workers of another from starting."""
    nowhere = django_dsn.replace(connection.settings_dict["NAME"], "no_such_database")
    with alias_on(nowhere), queues("default", "other"):
        nightly(tasks.thread_name.using(backend="other"))
        assert declared("default") == []


def test_what_is_found_at_the_start_is_served_without_an_error() -> None:
    """A job whose task is only found by its path is no error in the log of a worker that is
    starting."""
    worker: Any = SimpleNamespace()  # as long as it has not been opened
    told: list[bool] = []

    async def serve_more() -> None:
        told.append(hasattr(worker, "crew"))

    async def found() -> None:
        finder.grown = True

    async def start() -> None:
        looking = asyncio.create_task(finder.run(worker))
        await asyncio.sleep(discovery.SOON * 2)
        worker.crew = object()
        await asyncio.sleep(discovery.SOON * 5)
        looking.cancel()

    finder: Any = Discovery(PgQueuer(), "default")
    finder.look, worker.serve_more = found, serve_more
    asyncio.run(start())
    assert told == [True]
