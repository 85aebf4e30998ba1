"""`@pgq.task`: what a task can do besides."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg
import psycopg
import pytest

from pgq_core import Context, Job, JobState, PgQueuer, errors
from tests.tasks.running import drain


@dataclass
class Bill:
    number: int
    due: date


async def test_context_and_job_are_handed_in(pgq: PgQueuer) -> None:
    """A first parameter annotated Context or Job is handed in and takes no room in the payload."""
    seen: list[Any] = []

    @pgq.task()
    async def with_context(context: Context, number: int) -> None:
        seen.append((context.job.entrypoint, number))

    @pgq.task()
    def with_job(job: Job, number: int) -> None:
        seen.append((job.entrypoint, number))

    await with_context.enqueue(1)
    await with_job.enqueue(number=2)
    await drain(pgq)
    assert sorted(seen) == [("with_context", 1), ("with_job", 2)]


async def test_a_plain_function_runs_in_a_thread(pgq: PgQueuer) -> None:
    """A `def` task runs in a thread, an `async def` task on the loop."""
    threads: dict[str, int] = {}

    @pgq.task()
    def plain() -> None:
        threads["plain"] = threading.get_ident()

    @pgq.task()
    async def coroutine() -> None:
        threads["coroutine"] = threading.get_ident()

    await plain.enqueue()
    await coroutine.enqueue()
    await drain(pgq)
    assert threads["coroutine"] == threading.get_ident() != threads["plain"]


async def test_results_may_be_models(pgq: PgQueuer) -> None:
    """A task may return dataclasses, models and dates: they are stored as JSON."""

    @pgq.task()
    async def bill(number: int) -> Bill:
        return Bill(number, date(2026, 11, 24))

    job_id = await bill.enqueue(7)
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).result == {"number": 7, "due": "2026-11-24"}


async def test_aliases(pgq: PgQueuer) -> None:
    """A renamed task still serves the jobs that were enqueued under its old names."""
    received: list[str] = []
    before = PgQueuer(pgq.queries.driver)

    @before.task("send_mail")
    async def old(to: str) -> None: ...

    @pgq.task("mail.send", aliases=["send_mail", "mailer"])
    async def new(to: str) -> None:
        received.append(to)

    await old.enqueue("a")
    await new.enqueue("b")
    await drain(pgq)
    assert sorted(received) == ["a", "b"]


def test_a_name_is_taken_once() -> None:
    """Two tasks cannot have the same name, be it an alias."""
    pgq = PgQueuer()

    def nothing() -> None: ...

    pgq.task("one", aliases=["two"])(nothing)
    with pytest.raises(errors.AlreadyRegistered):
        pgq.task("two")(nothing)


async def test_using(pgq: PgQueuer) -> None:
    """`using` sets priority, delay, keys and the other options for the next jobs only."""

    @pgq.task(queue="mail", priority=10)
    async def send(to: str) -> None: ...

    urgent = send.using(priority=0, unique_key="k", headers={"a": 1}).using(delay=3600)
    job_id = await urgent.enqueue("a")
    assert await urgent.enqueue("a") == job_id
    job = await pgq.queries.get_job(job_id)
    assert (job.priority, job.queue, job.state) == (0, "mail", JobState.DEFERRED)
    assert job.headers == {"a": 1}
    plain = await pgq.queries.get_job(await send.enqueue("a"))
    assert (plain.priority, plain.queue, plain.state) == (10, "mail", JobState.READY)
    with pytest.raises(errors.InvalidInput, match="no option 'prioritty'"):
        send.using(prioritty=1)  # type: ignore[call-arg]


async def test_enqueue_in_a_transaction(pgq: PgQueuer, conn: asyncpg.Connection[Any]) -> None:
    """`using(connection=…)` enqueues in the caller's transaction: gone if that is rolled back."""

    @pgq.task()
    async def send(to: str) -> None: ...

    transaction = conn.transaction()
    await transaction.start()
    job_id = await send.using(connection=conn).enqueue("a")
    await transaction.rollback()
    with pytest.raises(errors.JobNotFound):
        await pgq.queries.get_job(job_id)
    with pytest.raises(errors.InvalidInput, match="holds no connection"):
        send.using(connection=conn).job("a")


async def test_enqueue_sync(pgq: PgQueuer, database: str) -> None:
    """`enqueue_sync` enqueues from plain functions, in a psycopg connection's transaction."""

    @pgq.task()
    async def send(to: str) -> None: ...

    with psycopg.connect(database) as connection:
        job_id = send.using(connection=connection).enqueue_sync("a")
    assert (await pgq.queries.get_job(job_id)).json() == {"to": "a"}
    with pytest.raises(errors.InvalidInput, match="needs a psycopg connection or a Session"):
        send.enqueue_sync("a")


async def test_many_at_once(pgq: PgQueuer) -> None:
    """`.job` gives a NewJob, so that calls of several tasks go out in one statement."""

    @pgq.task()
    async def send(to: str) -> None: ...

    @pgq.task()
    def count(number: int) -> None: ...

    made = await pgq.enqueue_many([send.job("a"), count.using(priority=1).job(number=2)])
    jobs = [await pgq.queries.get_job(job.id) for job in made]
    assert [job.json() for job in jobs] == [{"to": "a"}, {"number": 2}]
    assert [job.priority for job in jobs] == [5, 1]


async def test_call_needs_no_database() -> None:
    """`.call` runs the function at once, with arguments checked and converted as in a job."""
    pgq = PgQueuer()

    @pgq.task()
    async def later(bill: Bill) -> str:
        return f"{bill.number} by {bill.due:%d.%m.}"

    @pgq.task()
    def at_once(job: Job, number: int) -> tuple[int, int]:
        return job.attempt, number

    assert await later.call(Bill(1, date(2026, 11, 24))) == "1 by 24.11."
    assert await at_once.call(number=2) == (1, 2)
    with pytest.raises(errors.InvalidArguments):
        await at_once.call(number="x")  # type: ignore[arg-type]


async def test_call_hands_in_a_context(pgq: PgQueuer, conn: asyncpg.Connection[Any]) -> None:
    """In `.call` the context has resources, progress and a transaction, and completes no job."""

    @asynccontextmanager
    async def resources() -> AsyncIterator[dict[str, int]]:
        yield {"answer": 42}

    pgq.resources = resources

    @pgq.task()
    async def work(context: Context, table: str) -> int:
        context.progress(0.5, "half")
        async with context.transaction() as connection:
            await connection.execute(f"CREATE TABLE {table} ()")
        answer: int = context.resources["answer"]
        return answer

    assert await work.call("kept") == 42
    assert await conn.fetchval("SELECT to_regclass('kept') IS NOT NULL")


async def test_call_runs_plain_functions_in_a_thread(pgq: PgQueuer) -> None:
    """In `.call` a plain function may wait for its context, as in a worker's thread."""

    @pgq.task()
    def ask(context: Context) -> tuple[dict[int, Any], int]:
        return context.results_sync(), context.enqueue_sync("ask", {})

    results, asked = await ask.call()
    assert results == {}
    assert (await pgq.queries.get_job(asked)).entrypoint == "ask"


def test_what_cannot_be_a_task() -> None:
    """What cannot be checked is refused when it is registered, with the way out."""
    pgq = PgQueuer()

    def variadic(*to: str) -> None: ...

    def opaque(lock: threading.Event) -> None: ...

    def unknown(to: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(errors.InvalidInput, match="name every parameter"):
        pgq.task()(variadic)
    with pytest.raises(errors.InvalidInput, match="parameter 'lock' cannot be kept"):
        pgq.task()(opaque)
    with pytest.raises(errors.InvalidInput, match="'Nowhere' is not defined"):
        pgq.task()(unknown)
    with pytest.raises(errors.InvalidInput, match=r"write @pgq.task\(\)"):
        pgq.task(variadic)  # type: ignore[arg-type]


def test_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pydantic the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(errors.MissingExtra, match=r"pgq-suite\[pydantic\]"):
        PgQueuer().task()(print)


def test_pydantic_is_not_imported_for_nothing() -> None:
    """A program without typed tasks never loads pydantic."""
    program = "import sys, pgq_core; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
