"""The helpers for a site's own tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import TestCase, TransactionTestCase, override_settings

from pgq_django import enqueue, enqueue_on_commit
from pgq_django.models import Job, JobBody
from pgq_django.testing import assert_enqueued, immediate, run_pending
from tests.django.shop import tasks
from tests.django.shop.models import Note


def test_naive_times(db: Any) -> None:
    """run_pending runs a task at its first attempt also where USE_TZ is off."""
    with override_settings(USE_TZ=False):
        result = tasks.add.using(run_after=timedelta(hours=1)).enqueue(1)
        assert [ran.outcome for ran in run_pending(now=timedelta(hours=2))] == ["succeeded"]
        result.refresh()
        assert result.finished_at.tzinfo is None


class InsideATestCase(TestCase):
    """Inside the transaction of a TestCase."""

    def test_jobs_run(self) -> None:
        """run_pending runs plain and coroutine tasks inside a TestCase, by the real claim."""
        plain = tasks.write_note.enqueue("plain")
        coroutine = tasks.write_note_async.enqueue("coroutine")
        assert [ran.outcome for ran in run_pending()] == ["succeeded", "succeeded"]
        plain.refresh()
        coroutine.refresh()
        assert plain.return_value == Note.objects.get(text="plain").pk
        assert coroutine.return_value == "coroutine"

    def test_priority_order(self) -> None:
        """Jobs run by priority, as Django counts it: larger first."""
        for priority in (-10, 0, 10):
            tasks.write_note.using(priority=priority).enqueue(str(priority))
        run_pending()
        assert [note.text for note in Note.objects.order_by("id")] == ["10", "0", "-10"]

    def test_retries_with_a_clock(self) -> None:
        """A retry waits until the clock the test sets has reached it."""
        result = tasks.fail_slowly.enqueue("x")
        assert [ran.outcome for ran in run_pending()] == ["retry"]
        assert run_pending() == []
        result.refresh()
        assert (result.status, len(result.errors)) == ("READY", 1)
        assert [ran.outcome for ran in run_pending(now=timedelta(hours=1))] == ["retry", "failed"]
        result.refresh()
        assert (result.status, len(result.errors)) == ("FAILED", 3)

    def test_a_task_that_breaks_the_transaction(self) -> None:
        """A task whose statement fails does not break the test's transaction."""
        tasks.break_sql.enqueue()
        assert [ran.outcome for ran in run_pending()] == ["failed"]
        assert Note.objects.count() == 0

    def test_limit_queues_and_chains(self) -> None:
        """run_pending can stop after some jobs, and keep to some queues."""
        for queue in ("a", "a", "b"):
            tasks.add.using(queue_name=queue).enqueue(1)
        assert len(run_pending(queues=["a"], limit=1)) == 1
        assert len(run_pending(queues=["a"])) == 1
        assert len(run_pending()) == 1

    def test_atomic(self) -> None:
        """atomic=True works here too: a failing task leaves nothing behind."""
        tasks.note_and_fail.enqueue("good", False)
        tasks.note_and_fail.enqueue("bad", True)
        assert [ran.outcome for ran in run_pending()] == ["succeeded", "failed"]
        assert [note.text for note in Note.objects.all()] == ["good"]

    def test_what_a_task_enqueues(self) -> None:
        """Jobs that a task enqueues, also after its commit, run in the same call."""
        tasks.enqueue_more.enqueue()
        assert len(run_pending()) == 3

    def test_immediate(self) -> None:
        """In an immediate() block a job has run when enqueue returns."""
        with immediate() as ran:
            result = tasks.add.enqueue(1, 2)
        assert [one.id for one in ran] == [int(result.id.removeprefix("pgq-"))]
        result.refresh()
        assert result.return_value == 3

    def test_assert_enqueued(self) -> None:
        """assert_enqueued finds a job by task and arguments, and shows what is there instead."""
        tasks.add.enqueue(1, b=2)
        job = assert_enqueued(tasks.add, [1], {"b": 2}, queue="default", count=1)
        assert job.entrypoint == tasks.add.module_path
        assert_enqueued(tasks.write_note, count=0)
        with pytest.raises(AssertionError, match=r"0 matching jobs .*\n.*'args': \[1\]"):
            assert_enqueued(tasks.add, [2])

    def test_on_commit_callbacks(self) -> None:
        """captureOnCommitCallbacks runs what enqueue_on_commit has put off."""
        with self.captureOnCommitCallbacks(execute=True):
            handle = enqueue_on_commit(tasks.add, args=[1])
        assert handle.id is not None
        assert len(run_pending()) == 1

    def test_nothing_is_left(self) -> None:
        """No job of an earlier test is here."""
        assert JobBody.objects.count() == 0


class InATransactionTestCase(TransactionTestCase):
    """With real commits, and tables emptied after each test."""

    def test_first(self) -> None:
        """run_pending works on real commits, too."""
        enqueue(tasks.write_note, args=["x"])
        assert len(run_pending()) == 1
        assert Job.objects.get().state == "succeeded"

    def test_second(self) -> None:
        """A TransactionTestCase empties the queue's tables."""
        assert JobBody.objects.count() == 0


def test_outside_of_django_test_classes(db: Any) -> None:
    """run_pending works in plain pytest functions."""
    enqueue(tasks.write_note, args=["x"])
    assert [ran.outcome for ran in run_pending()] == ["succeeded"]
