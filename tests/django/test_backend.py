"""The Tasks backend, beyond what Django's own cases ask."""

from __future__ import annotations

import asyncio
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test import override_settings

import pgq_django
from pgq_django.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from pgq_django.models import Job, JobBody
from pgq_django.testing import run_pending
from pgq_django.worker.policy import Policy
from tests.django.shop import tasks

BACKEND = "pgq_django.PgqBackend"


def undecorated() -> None:
    """A function that is no task where its path leads."""


@pytest.mark.parametrize(("theirs", "ours"), [(0, 5), (100, -95), (-100, 105)])
def test_priorities(db: Any, theirs: int, ours: int) -> None:
    """Django's larger-first priorities become pgq's smaller-first ones, and come back unchanged."""
    result = tasks.add.using(priority=theirs).enqueue(1)
    assert JobBody.objects.get().priority == ours
    assert tasks.add.get_result(result.id).task.priority == theirs


def test_run_after_as_a_timedelta(db: Any) -> None:
    """run_after may be a timedelta; the database's clock decides when that is."""
    result = tasks.add.using(run_after=timedelta(hours=1)).enqueue(1)
    assert isinstance(result.task.run_after, datetime)
    assert result.task.run_after - result.enqueued_at >= timedelta(minutes=59)
    assert tasks.add.get_result(result.id) == result
    assert Job.objects.get().state == "deferred"


def test_a_stored_result_equals_the_enqueued_one(db: Any) -> None:
    """What enqueue returns is what get_result reads, the task's variant included."""
    due = datetime(2031, 5, 17, 12, 30, 15, 123456, tzinfo=timezone.utc)
    result = tasks.add.using(priority=3, queue_name="q", run_after=due).enqueue([1], b={"x": (2,)})
    again = tasks.add.get_result(result.id)
    assert again == result
    assert again.kwargs == {"b": {"x": [2]}}
    assert pickle.loads(pickle.dumps(again.errors)) == []


@pytest.mark.parametrize(
    "bad", ["123", "pgq-", "pgq-0", "pgq-1x", "pgq-99999999999999999999", "", None, 7, "pgq-77"]
)
def test_unknown_ids(db: Any, bad: Any) -> None:
    """An id that is malformed or unknown raises TaskResultDoesNotExist and nothing else."""
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result(bad)


def test_malformed_ids_need_no_database() -> None:
    """A malformed id is refused before any query, so it may be asked for on an event loop."""

    async def ask() -> None:
        with pytest.raises(TaskResultDoesNotExist):
            task_backends["default"].get_result("123")

    asyncio.run(ask())


def test_another_backends_result_is_not_ours(db: Any) -> None:
    """A backend answers only for what it has enqueued itself."""
    two = {name: {"BACKEND": BACKEND, "QUEUES": []} for name in ("default", "other")}
    with override_settings(TASKS=two):
        result = tasks.add.using(backend="other").enqueue(1)
        assert task_backends["other"].get_result(result.id) == result
        with pytest.raises(TaskResultDoesNotExist):
            task_backends["default"].get_result(result.id)


def test_a_duplicate_across_backends(db: Any) -> None:
    """A unique job's duplicate gives the job that holds the key, whichever way that came, and
    `task_enqueued` is sent once."""
    two = {name: {"BACKEND": BACKEND, "QUEUES": []} for name in ("default", "bulk")}
    sent: list[str] = []

    def receive(task_result: Any, **_: Any) -> None:
        sent.append(task_result.id)

    task_enqueued.connect(receive)
    try:
        with override_settings(TASKS=two):
            first = tasks.only_one.using(backend="bulk").enqueue("a")
            assert tasks.only_one.enqueue("a") == first
            assert async_to_sync(tasks.only_one.aenqueue)("a").backend == "bulk"
    finally:
        task_enqueued.disconnect(receive)
    assert sent == [first.id]
    with override_settings(TASKS={"default": two["default"]}):  # the other backend is gone
        assert tasks.only_one.enqueue("a").id == first.id


def test_jobs_from_elsewhere_have_results(db: Any) -> None:
    """A task's job that was enqueued by name, or by SQL, belongs to the task's own backend."""
    made = pgq_django.enqueue("tests.django.shop.tasks.add", {"args": [1], "kwargs": {}})
    run_pending()
    assert task_backends["default"].get_result(f"pgq-{made}").return_value == 1


@pytest.mark.parametrize("name", ["atomic", "backoff", "concurrency_limit", "rate_limit"])
def test_what_holds_for_a_task_is_no_option_of_a_job(name: str) -> None:
    """`using()` refuses what a job's row cannot carry, and says where to state it."""
    with pytest.raises(TypeError, match=rf"using\({name}=…\).*state it at @task"):
        tasks.add.using(**{name: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'fluff'"):
        tasks.add.using(fluff=1)


def test_a_backends_keys(db: Any) -> None:
    """`unique` and `concurrency_key` in a backend's OPTIONS hold for tasks that state none."""
    options = {"unique": True, "concurrency_key": "one"}
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        first = tasks.add.enqueue(1)
        assert tasks.add.enqueue(1).id == first.id != tasks.add.enqueue(2).id
    assert {job.concurrency_key for job in JobBody.objects.all()} == {"one"}


def test_validation_happens_at_enqueue(db: Any) -> None:
    """A task that today's settings refuse is refused at enqueue, before any SQL."""
    variant = tasks.add.using(queue_name="elsewhere")
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": ["default"]}}):
        with pytest.raises(InvalidTask, match="elsewhere"):
            variant.enqueue(1)
        with pytest.raises(InvalidTask, match="elsewhere"):
            async_to_sync(variant.aenqueue)(1)
    assert not JobBody.objects.exists()


def test_a_path_that_leads_nowhere(db: Any) -> None:
    """A task no worker could import is refused at enqueue."""
    lost = type(tasks.add)(
        func=undecorated, priority=0, backend="default", queue_name="default", run_after=None
    )
    with pytest.raises(InvalidTask, match="worker could not run"):
        lost.enqueue()


def test_aenqueue_stays_in_the_transaction(db: Any) -> None:
    """aenqueue inserts on Django's own connection: a rollback takes the job back."""

    def view() -> None:
        with transaction.atomic():
            async_to_sync(tasks.add.aenqueue)(1)
            assert JobBody.objects.count() == 1
            transaction.set_rollback(True)

    async_to_sync(sync_to_async(view))()
    assert not JobBody.objects.exists()


def test_signals(db: Any) -> None:
    """Django's three signals are sent, with the backend's class as sender."""
    seen: list[tuple[str, Any, str]] = []

    def receiver(name: str) -> Any:
        def receive(sender: Any, task_result: Any, **_: Any) -> None:
            seen.append((name, sender, task_result.status))

        return receive

    receivers = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
    kept = {name: receiver(name) for name in receivers}
    for name, signal in receivers.items():
        signal.connect(kept[name])
    try:
        tasks.add.enqueue(1)
        run_pending()
        tasks.fail.enqueue("x")
        run_pending(now=timedelta(hours=1))
    finally:
        for name, signal in receivers.items():
            signal.disconnect(kept[name])
    backend = pgq_django.PgqBackend
    assert seen == [
        ("enqueued", backend, "READY"),
        ("started", backend, "RUNNING"),
        ("finished", backend, "SUCCESSFUL"),
        ("enqueued", backend, "READY"),
        ("started", backend, "RUNNING"),
        ("started", backend, "RUNNING"),
        ("started", backend, "RUNNING"),
        ("finished", backend, "FAILED"),
    ]


def test_a_receiver_has_no_veto(db: Any) -> None:
    """The job is there although a receiver of task_enqueued raises."""

    def refuse(**_: Any) -> None:
        raise ZeroDivisionError

    task_enqueued.connect(refuse)
    try:
        tasks.add.enqueue(1)
    finally:
        task_enqueued.disconnect(refuse)
    assert JobBody.objects.count() == 1


def test_cancelled_jobs(db: Any) -> None:
    """A cancelled job is FAILED, with an error that names our class."""
    from pgq_django import statements

    result = tasks.add.enqueue(1)
    job = int(result.id.removeprefix("pgq-"))
    statements.run("default", "cancel", jobs=[job], reason="not needed")
    result.refresh()
    assert result.status == "FAILED"
    assert result.errors[0].exception_class is pgq_django.exceptions.Cancelled
    assert result.finished_at is not None


def test_a_task_that_is_gone(db: Any) -> None:
    """The result of a task that no longer exists gives an error that says so."""
    made = pgq_django.enqueue("gone.away", {"args": []}, headers={"backend": "default"})
    with pytest.raises(TaskResultDoesNotExist, match=r"its task is gone: 'gone\.away'"):
        task_backends["default"].get_result(f"pgq-{made}")


def test_backoff_with_exception_and_result(db: Any) -> None:
    """backoff(exception, task_result) decides each time; None means not again."""
    result = tasks.choosy.enqueue("later")
    assert [ran.outcome for ran in run_pending()] == ["retry"]
    due = Job.objects.get().run_at
    assert due is not None
    assert due - result.enqueued_at > timedelta(minutes=59)
    tasks.choosy.enqueue("never")
    assert [ran.outcome for ran in run_pending()] == ["failed"]


def test_options_of_the_backend(db: Any) -> None:
    """OPTIONS of TASKS hold for tasks that state nothing themselves."""
    stated = {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": {"max_attempts": 7, "timeout": 3}}
    with override_settings(TASKS={"default": stated}):
        assert Policy(tasks.add).entrypoint.max_attempts == 7
        assert Policy(tasks.add).entrypoint.timeout == 3
        assert Policy(tasks.fail).entrypoint.max_attempts == 3


@pytest.mark.skipif(django.VERSION < (6, 1), reason="@task(**extra) is new in Django 6.1")
def test_extras_as_keywords(db: Any) -> None:
    """On Django 6.1 the options are keywords of @task and of using()."""
    from tests.django.shop import extras

    assert Policy(extras.patient).entrypoint.max_attempts == 9
    result = extras.patient.using(max_attempts=2, timeout=timedelta(seconds=4)).enqueue()
    body = JobBody.objects.get()
    assert (body.max_attempts, body.timeout) == (2, 4.0)
    assert extras.patient.get_result(result.id).task.max_attempts == 2
    assert pickle.loads(pickle.dumps(extras.patient)) == extras.patient
    with pytest.raises(TypeError, match="max_atempts"):
        extras.patient.using(max_atempts=2)


def test_misspelt_options() -> None:
    """A misspelt option is refused where it stands."""
    from pgq_core.errors import InvalidInput

    with pytest.raises(InvalidInput, match="max_atempts"):
        pgq_django.options(max_atempts=3)
    with pytest.raises(InvalidInput, match="under @task"):
        pgq_django.options(max_attempts=3)(tasks.add)
    with pytest.raises(InvalidInput, match="above @task"):
        pgq_django.schedule("0 9 * * *")(lambda: None)


def test_naive_times_without_time_zones(db: Any) -> None:
    """With USE_TZ off, naive times mean the current time zone and come back naive."""
    with override_settings(USE_TZ=False):
        connection.close()
        try:
            due = datetime(2031, 5, 17, 12, 30)  # noqa: DTZ001
            result = tasks.add.using(run_after=due).enqueue(1)
            assert tasks.add.get_result(result.id) == result
        finally:
            connection.close()
