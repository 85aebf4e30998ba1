"""Tasks of every kind."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import Any

from django.db import transaction

import pgq_django
from pgq_core import Cancel, Retry, Snooze
from pgq_core.logs import JobLogs
from pgq_django import current_context
from pgq_django.compat import NATIVE
from tests.django.shop.models import Note

if NATIVE:
    from django.tasks import task
else:
    from django_tasks import task


@task
def write_note(text: str) -> int:
    """Write a row and return its id."""
    return Note.objects.create(text=text).pk


@task
async def write_note_async(text: str) -> str:
    """The same from the loop."""
    await Note.objects.acreate(text=text)
    return text


@task
def add(a: Any, b: Any = 0) -> Any:
    """Return a value."""
    return a + b


@task(takes_context=True)
def attempt_number(context: Any) -> int:
    """Return what the context says."""
    return context.attempt


@task
def set_aside() -> int:
    """How many objects garbage collection leaves alone."""
    return gc.get_freeze_count()


@task
@pgq_django.options(max_attempts=3, backoff=0)
def fail(message: str) -> None:
    """Raise."""
    raise LookupError(message)


@task
@pgq_django.options(max_attempts=1)
def fail_once(message: str) -> None:
    """Raise; there is one attempt."""
    raise LookupError(message)


@task
@pgq_django.options(unique=True)
def only_one(name: str) -> str:
    """One live job per name."""
    return name


@task
@pgq_django.options(atomic=True, max_attempts=1)
def note_and_fail(text: str, fail: bool) -> str:
    """Write, then perhaps raise: both or nothing."""
    Note.objects.create(text=text)
    if fail:
        raise LookupError(text)
    return text


@task
@pgq_django.options(atomic=True, max_attempts=1)
def fail_after_commit(text: str) -> str:
    """Write; what is to follow the commit raises."""

    def fail() -> None:
        raise LookupError(text)

    transaction.on_commit(fail)
    Note.objects.create(text=text)
    return text


@task
def trace_seen() -> str:
    """The trace and the job this task runs in, as its log records have them."""
    record = logging.makeLogRecord({})
    JobLogs().filter(record)
    return f"{record.trace_id} {record.job_id}"


@task
async def trace_seen_async() -> str:
    """The same on the loop."""
    return trace_seen.func()


@task
def thread_name() -> str:
    """Where plain tasks run."""
    return threading.current_thread().name


@task
def unstorable() -> object:
    """Return what JSON cannot hold."""
    return object()


@task
def wait_for_note(text: str) -> str:
    """Run until somebody has written the note."""
    from tests.support import until

    until(Note.objects.filter(text=text).exists)
    return text


@task
@pgq_django.options(concurrency_limit=1)
def one_at_a_time(text: str) -> str:
    """Run until somebody has written the note; no other job of this task runs meanwhile."""
    return wait_for_note.func(text)


@task
@pgq_django.options(concurrency_key=lambda customer, text: f"customer-{customer}")
def one_per_customer(customer: int, text: str) -> str:
    """The same for each customer."""
    return wait_for_note.func(text)


@task
@pgq_django.options(rate_limit="1/h")
def once_an_hour() -> None:
    """Start once in an hour, over all workers."""


@task
@pgq_django.options(atomic=True, max_attempts=2)
def write_and_wait(text: str) -> None:
    """Write a row, then run until somebody else has written the note."""
    Note.objects.create(text="mine")
    wait_for_note.func(text)


@task
@pgq_django.options(aliases=["shop.old_failing"], backoff=0)
def new_failing(text: str) -> str:
    """Fail at the first attempt."""
    if current_context().job.attempt == 1:
        raise LookupError(text)
    return text


@task
async def wait_for_lock() -> None:
    """Wait until nobody else holds a row's lock."""
    await Note.objects.filter(text="locked").aupdate(text="free")


@task
@pgq_django.options(aliases=["shop.old_name"])
def new_name(text: str) -> str:
    """A task that had another name before."""
    return text


@task
@pgq_django.options(max_attempts=3, backoff=lambda failures: 600 * failures)
def fail_slowly(message: str) -> None:
    """Raise, and wait long."""
    raise LookupError(message)


@task
@pgq_django.options(max_attempts=1)
def break_sql() -> None:
    """Leave the transaction unusable."""
    Note.objects.create(text="before")
    Note.objects.create(text=None)


@task
def enqueue_more() -> None:
    """Enqueue two others, one after the commit."""
    add.enqueue(1)
    pgq_django.enqueue_on_commit(add, args=[2])


def later_or_never(exception: Exception, task_result: Any) -> float | None:
    """An hour, unless the message says never."""
    return None if task_result.args == ["never"] else 3600.0


@task
@pgq_django.options(max_attempts=3, backoff=later_or_never)
def choosy(message: str) -> None:
    """Raise."""
    raise LookupError(message)


@task
@pgq_django.options(max_attempts=1)
def raise_verdict(name: str) -> None:
    """Raise what decides about the job."""
    verdicts = {"cancel": Cancel("enough"), "retry": Retry(0), "snooze": Snooze(60)}
    raise verdicts[name]


@task
@pgq_django.options(max_attempts=1)
async def wait_for_ever() -> None:
    """Never end by itself, nor by a timeout."""
    await asyncio.Event().wait()


@task
@pgq_django.options(timeout=1.0, max_attempts=1)
def look_and_return() -> None:
    """Stop when asked to."""
    from tests.support import until

    until(lambda: current_context().cancelled)


@task
@pgq_django.options(timeout=1.0, max_attempts=1)
async def sleep_long() -> None:
    """Never end by itself."""
    await asyncio.Event().wait()


@task
def collect() -> list[Any]:
    """What the jobs that it waited for have returned."""
    return sorted(current_context().results_sync().values())


@task
async def read_and_ask() -> list[Any]:
    """The same from the loop; and a further job."""
    context = current_context()
    payload = {"args": [1], "kwargs": {}}
    asked = await context.enqueue("tests.django.shop.tasks.add", payload)
    return [list((await context.results()).values()), asked]
