"""`run_pending()`: the real claim and finish, on Django's connection, in the caller's thread.

Nothing is imitated: the statements are the worker's own, so a job that would not be claimed in
production is not claimed here either. Because the connection is the test's, everything works inside
the transaction of a `TestCase` and disappears with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.db import DatabaseError, connections, transaction

from pgq_django import statements
from pgq_django.databases import database_of
from pgq_django.testing.desk import Desk

T = TypeVar("T")
Now = datetime | timedelta | None


class Ran(NamedTuple):
    """One attempt that was made: `outcome` as in the job's history, `error` when it failed."""

    id: int
    entrypoint: str
    outcome: str
    error: str | None


def run_pending(
    *,
    queues: Iterable[str] | None = None,
    limit: int | None = None,
    now: Now = None,
    ids: Iterable[int] | None = None,
    using: str | None = None,
) -> list[Ran]:
    """Run ready jobs one after another until none is left, those they enqueue included.

    `now`: an aware datetime, or a timedelta from now: jobs due by then run too, retries included.
    `ids`: only until these have been attempted once. Returns one `Ran` per attempt.
    """
    alias = using or database_of()
    desk = Desk(alias, None if queues is None else list(queues))
    wanted = None if ids is None else set(ids)
    done: list[Ran] = []
    with desk.open():
        while (limit is None or len(done) < limit) and wanted != set():
            promote(alias, now)
            ran = attempt_next(desk, alias)
            if ran is None:
                break
            done.append(ran)
            if wanted is not None:
                wanted.discard(ran.id)
    return done


def promote(alias: str, now: Now) -> None:
    """Make ready what is due by `now`."""
    if not isinstance(now, datetime):
        later = 0.0 if now is None else now.total_seconds()
        now = statements.run(alias, "clock", later=later)[0]["now"]
    statements.run(alias, "promote", until=now)


def attempt_next(desk: Desk, alias: str) -> Ran | None:
    """Claim one job and run it; None when none is ready."""
    run = desk.claim()
    if run is None:
        return None
    with commit_callbacks(alias):
        outcome = in_savepoint(alias, lambda: desk.execute(run))
        if not run.completed:
            desk.finish(run, outcome)
    return Ran(run.job.id, run.job.entrypoint, outcome.kind, outcome.error)


def in_savepoint(alias: str, call: Callable[[], T]) -> T:
    """Inside a transaction, a task that broke it takes back what it wrote, and only then."""
    if not connections[alias].in_atomic_block:
        return call()
    returned: list[T] = []
    try:
        with transaction.atomic(using=alias):
            returned.append(call())
    except DatabaseError:
        if not returned:  # ours; the task's own error is part of its outcome
            raise
    return returned[0]


@contextmanager
def commit_callbacks(alias: str) -> Iterator[None]:
    """What a task leaves for after its commit is run after the task: a TestCase never commits."""
    connection: Any = connections[alias]
    before = len(connection.run_on_commit)
    yield
    if connection.in_atomic_block:
        callbacks = connection.run_on_commit[before:]
        del connection.run_on_commit[before:]
        for _, callback, *_ in callbacks:
            callback()
