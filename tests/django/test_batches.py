"""Batches and chains of tasks, in the transaction that is open."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

import pgq_django
from pgq_core import NewJob
from pgq_core.errors import InvalidInput
from pgq_django import databases
from pgq_django.compat import task_backends
from pgq_django.models import Job, JobBody
from pgq_django.testing import run_pending
from tests.django.shop.tasks import add, collect, fail_once, read_and_ask
from tests.django.support import alias_on


def kept(id_: int) -> Any:
    """What a job that succeeded has returned."""
    return task_backends["default"].get_result(f"pgq-{id_}").return_value


def test_a_batch_of_tasks(db: Any) -> None:
    """A batch's tasks run, then its callback, which reads their results."""
    with pgq_django.batch(on_success=collect) as batch:
        batch.add(add, args=[1])
        batch.add(add, args=[2], kwargs={"b": 3}, priority=1)
        batch.add(pgq_django.job(add, args=[4]))
    assert (batch.progress().total, batch.progress().open) == (3, 3)
    assert [ran.outcome for ran in run_pending()] == ["succeeded"] * 4
    assert kept(batch.callback_ids[0]) == [1, 4, 5]
    assert batch.progress().succeeded == 3


def test_callbacks_of_a_batch_that_fails(db: Any) -> None:
    """When a task of a batch fails `on_failure` and `on_done` run, and `on_success` does not."""
    ends = {
        f"on_{word}": pgq_django.job(add, args=[word], kwargs={"b": ""})
        for word in ("done", "success", "failure")
    }
    with pgq_django.batch(**ends) as batch:
        batch.add(fail_once, args=["broken"])
        batch.add(add, args=[1])
    run_pending()
    states = [Job.objects.get(pk=id_).state for id_ in batch.callback_ids]
    assert states == ["succeeded", "cancelled", "succeeded"]
    assert (batch.progress().failed, batch.progress().succeeded) == (1, 1)


def test_a_batch_belongs_to_the_transaction(db: Any) -> None:
    """A batch is gone when the transaction around it rolls back, or its block raises."""
    with transaction.atomic():
        with pgq_django.batch(on_done=collect) as batch:
            batch.add(add, args=[1])
        transaction.set_rollback(True)
    assert not JobBody.objects.exists()
    with pytest.raises(InvalidInput, match=f"no batch {batch.id}"):
        batch.progress()
    broken = pgq_django.batch()

    def fail() -> None:
        with broken:
            broken.add(add, args=[1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not JobBody.objects.exists()


def test_a_batch_has_one_database(db: Any) -> None:
    """Tasks whose backends have different databases are no batch, unless `using=` names one."""
    backends = {
        alias: {"BACKEND": "pgq_django.PgqBackend", "OPTIONS": {"database": alias}}
        for alias in ("default", "other")
    }
    with override_settings(TASKS=backends):
        mixed = pgq_django.batch()
        mixed.add(add, args=[1])
        mixed.add(add.using(backend="other"), args=[1])
        with pytest.raises(InvalidInput, match="several databases"), mixed:
            pass
        with pgq_django.batch(using="default") as batch:
            batch.add(add, args=[1])
            batch.add(add.using(backend="other"), args=[1])
        assert batch.progress().total == JobBody.objects.count() == 2


def test_a_batch_in_another_database(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is not part of the open transaction warns like a single job."""
    monkeypatch.setattr(databases, "_warned", set())
    with (
        alias_on(database),
        transaction.atomic(),
        pytest.warns(databases.OtherAlias, match="on 'default'"),
        pgq_django.batch(using="other") as batch,
    ):
        batch.add(add, args=[1])


def test_wrong_batches(db: Any) -> None:
    """An empty batch, options beside a job that is made, and progress before the end are errors."""
    with pytest.raises(InvalidInput, match="at least one job"), pgq_django.batch():
        pass
    batch = pgq_django.batch()
    with pytest.raises(InvalidInput, match="priority=3 beside a NewJob"):
        batch.add(NewJob("name"), priority=3)
    with pytest.raises(InvalidInput, match="leave its block first"):
        batch.progress()


def test_a_chain_of_tasks(db: Any) -> None:
    """`chain(a, b, c)` runs one after the other; each reads the result of the one before."""
    first = pgq_django.job(add, args=[1], kwargs={"b": 1})
    ids = pgq_django.chain(first, collect, collect)
    assert [Job.objects.get(pk=id_).state for id_ in ids] == ["ready", "blocked", "blocked"]
    run_pending()
    assert [kept(id_) for id_ in ids] == [2, [2], [[2]]]


def test_a_broken_chain(db: Any) -> None:
    """When a link fails the rest is cancelled."""
    ids = pgq_django.chain(pgq_django.job(fail_once, args=["no"]), collect)
    run_pending()
    assert [Job.objects.get(pk=id_).state for id_ in ids] == ["failed", "cancelled"]


def test_coroutine_tasks_have_the_context_too(db: Any) -> None:
    """In a site's tests a coroutine task reads results and enqueues through its context."""
    first = pgq_django.job(add, args=[7])
    _, second = pgq_django.chain(first, read_and_ask)
    run_pending()
    results, asked = kept(second)
    assert results == [7]
    assert Job.objects.get(pk=asked).state == "succeeded"
