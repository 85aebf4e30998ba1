"""Limits and keys of tasks, over all workers."""

from __future__ import annotations

from typing import Any

from pgq_django.models import Job
from pgq_django.testing import run_pending
from tests.django.processes import worker
from tests.django.shop import tasks
from tests.django.shop.models import Note
from tests.django.support import state
from tests.support import until


def test_concurrency_limit(db: Any) -> None:
    """Of a task with concurrency_limit=1 one job runs at a time, whatever workers there are."""
    first, second = tasks.one_at_a_time.enqueue("a"), tasks.one_at_a_time.enqueue("b")
    with worker("--concurrency", "4"), worker("--concurrency", "4"):
        until(lambda: {state(first.id), state(second.id)} == {"running", "ready"})
        others = [tasks.add.enqueue(n) for n in range(5)]
        until(lambda: all(state(one.id) == "succeeded" for one in others))
        assert {state(first.id), state(second.id)} == {"running", "ready"}
        Note.objects.create(text="a")
        Note.objects.create(text="b")
        until(lambda: state(first.id) == state(second.id) == "succeeded")


def test_concurrency_key(db: Any) -> None:
    """Jobs whose arguments give the same key run one after the other, others beside them."""
    made = [tasks.one_per_customer.enqueue(customer, "go") for customer in (1, 1, 2)]
    with worker("--concurrency", "4"):
        until(lambda: [state(one.id) for one in made] == ["running", "blocked", "running"])
        Note.objects.create(text="go")
        until(lambda: all(state(one.id) == "succeeded" for one in made))


def test_rate_limit(db: Any) -> None:
    """A task with a rate starts no more often, and its other jobs wait."""
    made = [tasks.once_an_hour.enqueue() for _ in range(3)]
    run_pending()
    assert sorted(state(one.id) for one in made).count("succeeded") == 1
    assert Job.objects.exclude(state="succeeded").count() == 2
