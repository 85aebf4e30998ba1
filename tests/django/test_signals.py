"""task_finished: once per task, when nobody will try it again, with the error it failed with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import pgq_django
from pgq_django.compat import task_finished
from pgq_django.testing import run_pending
from pgq_django.verbs import Verbs, at_once
from tests.django.processes import worker
from tests.django.shop import tasks
from tests.django.shop.models import Note
from tests.django.support import state
from tests.support import until


@contextmanager
def finished() -> Iterator[list[Any]]:
    """The results that task_finished has carried, each with the exception being handled then."""
    seen: list[Any] = []

    def receive(task_result: Any, **_: Any) -> None:
        seen.append((task_result, sys.exc_info()[0]))

    task_finished.connect(receive)
    try:
        yield seen
    finally:
        task_finished.disconnect(receive)


def test_a_stopped_task_has_finished(db: Any) -> None:
    """A task stopped by its timeout or by a cancellation has finished, and its signal says why."""
    with worker():
        tasks.sleep_long.enqueue()
        tasks.look_and_return.enqueue()
        cancelled = tasks.wait_for_ever.enqueue()
        until(lambda: state(cancelled.id) == "running")
        at_once(Verbs().cancel([int(cancelled.id.removeprefix("pgq-"))], "not needed"))
        until(lambda: Note.objects.count() == 3)
        until(lambda: state(cancelled.id) == "cancelled")
    assert {note.text for note in Note.objects.all()} == {
        "sleep_long FAILED pgq_core.executor.TimedOut",
        "look_and_return FAILED pgq_core.executor.TimedOut",
        "wait_for_ever FAILED pgq_django.exceptions.Cancelled",
    }
    cancelled.refresh()
    assert cancelled.errors[0].exception_class_path == "pgq_django.exceptions.Cancelled"


def test_a_task_given_back_has_not(db: Any) -> None:
    """A task interrupted by a shutdown has finished only if it may not start a second time."""
    with worker("--shutdown-timeout", "0.1") as process:
        patient = pgq_django.enqueue(tasks.wait_for_ever, max_attempts=2)
        once = tasks.wait_for_ever.enqueue()
        until(lambda: state(once.id) == state(patient) == "running")
        process.terminate()
        assert process.wait(30) == 0
    assert [note.text for note in Note.objects.all()] == [
        "wait_for_ever FAILED pgq_django.exceptions.Interrupted"
    ]
    assert (state(once.id), state(patient)) == ("failed", "ready")


@pytest.mark.parametrize(("verdict", "status"), [("cancel", "FAILED"), ("retry", "FAILED")])
def test_a_verdict_that_ends_the_job(db: Any, verdict: str, status: str) -> None:
    """Cancel ends a task, and so does Retry when no attempt is left; the signal is sent for both."""
    with finished() as seen:
        result = tasks.raise_verdict.enqueue(verdict)
        run_pending()
    ((told, handled),) = seen
    result.refresh()
    assert told.status == result.status == status
    assert told.errors[0].exception_class is handled
    assert result.errors[0].exception_class is handled


def test_a_snoozed_task_has_not_finished(db: Any) -> None:
    """A task that asks to be run later has not finished."""
    with finished() as seen:
        tasks.raise_verdict.enqueue("snooze")
        assert [ran.outcome for ran in run_pending()] == ["snooze"]
    assert seen == []


def test_a_callback_after_the_commit_of_an_atomic_task(
    db: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With atomic=True a task that has committed has succeeded, even if one of its on_commit
    callbacks fails; the log has the error."""
    result = tasks.fail_after_commit.enqueue("sent")
    with finished() as seen:
        assert [ran.outcome for ran in run_pending()] == ["succeeded"]
    assert [(one.status, one.return_value) for one, _ in seen] == [("SUCCESSFUL", "sent")]
    assert state(result.id) == "succeeded"
    assert "LookupError: sent" in caplog.text
