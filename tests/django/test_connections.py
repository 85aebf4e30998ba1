"""Connections that die, and what is left open."""

from __future__ import annotations

from typing import Any

from django.db import connection

from tests.django.processes import worker
from tests.django.shop import tasks
from tests.django.support import scalar, state
from tests.support import until

OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_every_connection_is_cut(db: Any) -> None:
    """After every connection was cut the worker goes on, with its own and with Django's."""
    with worker("--threads", "1", "--concurrency", "2"):
        first = tasks.write_note.enqueue("before")
        until(lambda: state(first.id) == "succeeded")
        assert scalar(connection, OTHERS) > 0
        plain = tasks.write_note.enqueue("after")
        coroutine = tasks.write_note_async.enqueue("after")
        until(lambda: {state(plain.id), state(coroutine.id)} == {"succeeded"})


def test_coroutine_tasks_leave_no_connection(db: Any) -> None:
    """The connection a coroutine task has used for the ORM is closed when the task has ended."""
    with worker("--concurrency", "4"):
        done = [tasks.write_note_async.enqueue(str(n)) for n in range(12)]
        until(lambda: all(state(result.id) == "succeeded" for result in done))
        mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        # Ours, the worker's own few, and none per task.
        until(lambda: scalar(connection, mine) <= 8)


def test_a_timeout(db: Any) -> None:
    """A coroutine task that takes longer than its timeout is stopped and has failed."""
    with worker():
        result = tasks.sleep_long.enqueue()
        until(lambda: state(result.id) == "failed")
    result.refresh()
    assert "timeout" in result.errors[0].traceback
