"""Enqueue: in the transaction that is open, on whatever driver Django uses."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

import pgq_django
from pgq_core import NewJob
from pgq_core.errors import DuplicateJob, InvalidInput
from pgq_django.exceptions import ReadOnlyModel
from pgq_django.models import Job, JobBody
from tests.django.shop.models import Note
from tests.django.shop.tasks import add, only_one, write_note


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction that is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def test_a_commit_keeps_the_job(db: Any) -> None:
    """A job enqueued in a transaction is there when it has committed."""
    with transaction.atomic():
        made = pgq_django.enqueue(write_note, args=["a"])
    job = Job.objects.get(pk=made)
    assert (job.entrypoint, job.state, job.queue) == (
        "tests.django.shop.tasks.write_note", "ready", "default",
    )  # fmt: skip
    assert json.loads(job.payload) == {"args": ["a"], "kwargs": {}}


def test_a_rollback_takes_the_job_back(db: Any) -> None:
    """A job enqueued in a transaction that rolls back is gone."""
    with rolled_back():
        add.enqueue(1)
    assert not JobBody.objects.exists()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_request_is_a_transaction(db: Any, atomic: bool) -> None:
    """With ATOMIC_REQUESTS a view that raises leaves no job; without it the job stays."""
    client = Client(raise_request_exception=False)
    connection.settings_dict["ATOMIC_REQUESTS"] = atomic
    try:
        assert client.get("/fail/").status_code == 500
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert JobBody.objects.exists() is not atomic


def test_a_savepoint_takes_only_its_own_job_back(db: Any) -> None:
    """A rolled-back savepoint loses the job enqueued inside it, and no other."""
    with transaction.atomic():
        kept = pgq_django.enqueue(add, args=[1])
        with rolled_back():
            pgq_django.enqueue(add, args=[2])
    assert [job.id for job in JobBody.objects.all()] == [kept]


def test_a_duplicate_leaves_the_transaction_usable(db: Any) -> None:
    """A duplicate unique key gives the id of the job that holds it; the transaction goes on."""
    with transaction.atomic():
        first = pgq_django.enqueue("report", {"day": 1}, unique_key="today")
        assert pgq_django.enqueue("report", {"day": 2}, unique_key="today") == first
        Note.objects.create(text="still usable")
    assert only_one.enqueue("a").id == only_one.enqueue("a").id
    assert only_one.enqueue("b").id != only_one.enqueue("a").id


def test_a_duplicate_that_raises(db: Any) -> None:
    """With `on_duplicate="raise"` a duplicate is an error that names the holder, nothing of its call
    is written, and your transaction goes on."""
    with transaction.atomic():
        first = pgq_django.enqueue("report", unique_key="today")
        with pytest.raises(DuplicateJob) as raised:
            pgq_django.enqueue_many(
                [NewJob("report"), NewJob("report", unique_key="today", on_duplicate="raise")]
            )
    assert raised.value.job_id == first
    assert JobBody.objects.count() == 1


def test_many_in_one_statement(db: Any) -> None:
    """enqueue_many gives one answer per job, in order, duplicates included."""
    made = pgq_django.enqueue_many(
        [
            pgq_django.job(add, args=[1]),
            NewJob("plain", {"a": 1}, unique_key="k"),
            NewJob("plain", b"\x00\xff", unique_key="k"),
            pgq_django.job(add, kwargs={"a": 2}, delay=60),
        ]
    )
    assert [one.fresh for one in made] == [True, True, False, True]
    assert made[1].id == made[2].id
    assert Job.objects.get(pk=made[3].id).state == "deferred"
    assert pgq_django.enqueue_many([]) == []


def test_on_commit(db: Any) -> None:
    """enqueue_on_commit knows the job's id after the commit, and a rollback forgets it."""
    with transaction.atomic():
        handle = pgq_django.enqueue_on_commit(add, args=[1])
        assert handle.id is None
        assert not JobBody.objects.exists()
    assert JobBody.objects.get().id == handle.id
    with rolled_back():
        handle = pgq_django.enqueue_on_commit(add, args=[1])
    assert handle.id is None


def test_on_commit_outside_a_transaction(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an open transaction the job is enqueued at once, and an error is the caller's."""
    assert pgq_django.enqueue_on_commit(add, args=[1]).id == 1

    def refuse(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr("pgq_django.enqueueing.insert", refuse)
    with pytest.raises(LookupError):
        pgq_django.enqueue_on_commit(add, args=[1])


def test_on_commit_is_robust(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When enqueueing after the commit fails, it is logged and later callbacks still run."""
    ran: list[str] = []

    def refuse(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr("pgq_django.enqueueing.insert", refuse)
    with transaction.atomic():
        handle = pgq_django.enqueue_on_commit(add, args=[1])
        transaction.on_commit(lambda: ran.append("later"))
    assert ran == ["later"]
    assert handle.id is None


def test_on_commit_checks_at_once(db: Any) -> None:
    """enqueue_on_commit refuses bad arguments where it is called, not after the commit."""
    with transaction.atomic(), pytest.raises(InvalidInput, match="a=nan"):
        pgq_django.enqueue_on_commit(add, args=[float("nan")])


def test_outside_survives_a_rollback(db: Any) -> None:
    """A job enqueued outside the transaction stays although the transaction rolls back."""
    with rolled_back():
        made = pgq_django.enqueue_outside("audit", {"who": "me"})
    assert JobBody.objects.get().id == made


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (float("nan"), "b=nan"),
        ({"x": [1, float("inf")]}, r"b\['x'\]\[1\]=inf"),
        ("nul \x00", "b='nul"),
        ("\ud800", "b="),
        (Note(text="x"), "b=<Note: Note object"),
        (datetime(2026, 1, 1), "b=datetime"),  # noqa: DTZ001
        (object(), "b=<object"),
        (functools.reduce(lambda inner, _: [inner], range(100_000), 0), "b is nested too deeply"),
    ],
    ids=["nan", "inf", "nul", "surrogate", "model", "naive", "object", "deep"],
)
def test_bad_arguments_are_named_before_any_sql(db: Any, value: Any, named: str) -> None:
    """What JSON cannot hold is refused with the argument's name, before any SQL."""
    with (
        connection.execute_wrapper(refuse),
        pytest.raises((TypeError, ValueError), match=named),
    ):
        add.enqueue(1, b=value)
    with (
        connection.execute_wrapper(refuse),
        pytest.raises((TypeError, ValueError), match=named),
    ):
        pgq_django.enqueue(add, args=[1, value])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pgq_django.enqueue(add.func, args=[1]), "is it decorated with @task"),
        (lambda: pgq_django.enqueue(add, args="Ada"), r"give a list of arguments, \['Ada'\]"),
        (lambda: pgq_django.enqueue_many([add]), r"pgq_django\.job\(task"),
    ],
    ids=["function", "text", "task"],
)
def test_likely_slips_are_explained(db: Any, call: Any, said: str) -> None:
    """A function without @task, arguments that are no list, and tasks that are no jobs yet are
    refused with what to write instead."""
    with pytest.raises(InvalidInput, match=said):
        call()
    assert not JobBody.objects.exists()


def refuse(*_: Any) -> None:
    raise AssertionError("a statement was sent")


def test_times(db: Any) -> None:
    """A job can wait for a moment, or for a while on the database's clock."""
    at = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
    made = pgq_django.enqueue(add, args=[1], run_at=at)
    assert JobBody.objects.get(pk=made).run_at == at
    made = pgq_django.enqueue(add, args=[1], delay=timedelta(hours=1))
    assert Job.objects.get(pk=made).state == "deferred"
    with pytest.raises(InvalidInput, match="time zone"):
        pgq_django.enqueue(add, args=[1], run_at=datetime(2030, 1, 1))  # noqa: DTZ001


def test_models_refuse_to_be_written(db: Any) -> None:
    """The models say how jobs are made instead of making half of one."""
    for write in (
        lambda: JobBody.objects.create(entrypoint="a"),
        lambda: Job.objects.bulk_create([Job(entrypoint="a")]),
        lambda: JobBody.objects.all().delete(),
        lambda: JobBody.objects.update(queue="b"),
        lambda: JobBody(entrypoint="a").save(),
        lambda: Job.objects.get_or_create(entrypoint="a"),
    ):
        with pytest.raises(ReadOnlyModel, match=r"pgq_django\.enqueue"):
            write()


def test_another_alias_is_warned_about(db: Any, database: str) -> None:
    """Enqueueing on one alias inside the transaction of another gives a warning, once."""
    from pgq_django.databases import OtherAlias
    from tests.django.support import alias_on

    with alias_on(database), transaction.atomic():
        with pytest.warns(OtherAlias, match="using='default'"):
            pgq_django.enqueue("a", using="other")
        pgq_django.enqueue("a", using="other")
        handle = pgq_django.enqueue_on_commit("a", using="other")
        assert handle.id is None
    assert handle.id is not None
