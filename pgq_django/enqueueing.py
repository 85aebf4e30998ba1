"""Enqueue on Django's own connection, so that a job belongs to the transaction that is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from pgq_core import NewJob
from pgq_core.errors import InvalidInput
from pgq_core.models import EnqueuedJob, Fellows, JobRow, row_of
from pgq_core.queries import rows
from pgq_django import statements
from pgq_django.arguments import shown
from pgq_django.databases import database_of, warn_if_elsewhere
from pgq_django.jobs import job
from pgq_django.tracing import traced

#: Called after jobs were inserted, with the alias and their ids; `pgq_django.testing` listens.
inserted: list[Callable[[str, list[int]], None]] = []


class Stored(NamedTuple):
    """What the database says of a job just enqueued."""

    id: int
    fresh: bool
    created_at: datetime
    run_at: datetime | None


class OnCommit:
    """A job that is enqueued after COMMIT; `id` is None until then."""

    def __init__(self) -> None:
        self.id: int | None = None
        self.fresh: bool | None = None

    def __repr__(self) -> str:
        return f"<OnCommit job {'not enqueued yet' if self.id is None else self.id}>"


def enqueue(
    target: Any,
    payload: Any = None,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    using: str | None = None,
    **options: Any,
) -> int:
    """Enqueue a task, or an entrypoint by name, in the transaction open on the queue's alias.

    A task takes `args` and `kwargs`, a name takes a `payload`. Further options: `priority` (ours:
    smaller runs first), `queue`, `delay`, `run_at`, `unique_key`, `concurrency_key`, `headers`,
    `max_attempts`, `timeout`. Returns the job's id; for a duplicate unique key that of the job
    which holds it. Raises InvalidInput before any SQL.
    """
    new = job(target, payload, args=args, kwargs=kwargs, **options)
    return enqueue_many([new], using=using)[0].id


def enqueue_many(jobs: Iterable[NewJob], *, using: str | None = None) -> list[EnqueuedJob]:
    """Enqueue jobs made by `pgq_django.job(...)` or `NewJob(...)` in one statement, in order."""
    new = Fellows(new_job(one) for one in jobs)
    checked = [row_of(traced(one), fellows=new) for one in new]
    alias = using or alias_of(new)
    warn_if_elsewhere(alias)
    return insert(alias, checked)


def new_job(given: Any) -> NewJob:
    """A job as it is. Raises InvalidInput for a task, or whatever else it is."""
    if isinstance(given, NewJob):
        return given
    raise InvalidInput(f"{shown(given)}: give jobs as pgq_django.job(task, args=[…]) makes them")


def enqueue_on_commit(
    target: Any,
    payload: Any = None,
    *,
    using: str | None = None,
    after: str | None = None,
    **options: Any,
) -> OnCommit:
    """Enqueue after the open transaction has committed; at once when there is none, and then what
    goes wrong is raised.

    `after` is the alias whose commit counts, by default the one with a transaction open. A process
    that dies between COMMIT and the callback loses the job; plain `enqueue` does not. Takes what
    `enqueue` takes, and checks it now.
    """
    new = job(target, payload, **options)
    checked = row_of(traced(new))
    alias = using or alias_of([new])
    handle = OnCommit()

    def enqueue_now() -> None:  # a plain function: Django before 6.1 stumbles over partials
        made = insert(alias, [checked])[0]
        handle.id, handle.fresh = made.id, made.fresh

    waited_for = after or open_alias(alias)
    if transaction.get_autocommit(waited_for):
        enqueue_now()
    else:
        transaction.on_commit(enqueue_now, using=waited_for, robust=True)
    return handle


def enqueue_outside(
    target: Any, payload: Any = None, *, using: str | None = None, **options: Any
) -> int:
    """Enqueue at once on a connection of its own: the job stays when the transaction rolls back.

    Meant for what must be told even if the view fails. Costs a connection per call, and in a
    TestCase the job outlives the test.
    """
    new = job(target, payload, **options)
    checked = row_of(traced(new))
    connection = connections.create_connection(using or alias_of([new]))
    try:
        return insert(connection, [checked])[0].id
    finally:
        connection.close()


def alias_of(jobs: Sequence[NewJob]) -> str:
    """The database of the backend these jobs are for. Raises InvalidInput when they are several."""
    backends = {(one.headers or {}).get("backend") for one in jobs}
    found = {database_of(backend) for backend in backends} or {DEFAULT_DB_ALIAS}
    if len(found) > 1:
        raise InvalidInput(f"these jobs belong to several databases ({', '.join(sorted(found))}); "
                           "enqueue them separately, or pass using=")  # fmt: skip
    return found.pop()


def open_alias(alias: str) -> str:
    """The alias itself when its transaction is open, else one other with a transaction open."""
    if connections[alias].in_atomic_block:
        return alias
    others = (c.alias for c in connections.all(initialized_only=True) if c.in_atomic_block)
    return next(others, alias)


def insert(using: Any, checked: Sequence[JobRow]) -> list[EnqueuedJob]:
    """Write checked rows; per row the job's id and whether it is new."""
    if not checked:
        return []
    if wanted := rows.predecessors(checked):
        rows.check_known(statements.run(using, "unknown_jobs", jobs=wanted))
    name, values = rows.insertion(checked)
    made = rows.inserted(checked, statements.run(using, name, **values))
    tell(using, [one.id for one in made if one.fresh])
    return made


def insert_one(using: Any, row: JobRow) -> Stored:
    """Write one checked row and read back what the database noted."""
    name, values = rows.insertion([row])
    if name == "insert_job":
        stored = Stored(fresh=True, **statements.run(using, name, **values)[0])
        tell(using, [stored.id])
        return stored
    made = insert(using, [row])[0]
    return Stored(fresh=made.fresh, **statements.run(using, "job_times", id=made.id)[0])


def tell(using: Any, ids: list[int]) -> None:
    """Let those know who listen."""
    for listener in inserted if ids else ():
        listener(statements.connection_of(using).alias, ids)
