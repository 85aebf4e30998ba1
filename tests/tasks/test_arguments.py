"""Arguments are checked when a job is enqueued, and again when it runs."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from pgq_core import JobState, PgQueuer, errors
from tests.tasks.running import drain


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"to": 5}, ["to"]),
        ({}, ["to"]),
        ({"to": "a", "copies": "many"}, ["copies"]),
        ({"to": "a", "bogus": 1}, ["bogus"]),
        ({"to": None, "copies": None}, ["to", "copies"]),
    ],
)
def test_the_error_names_the_argument(arguments: dict[str, Any], named: list[str]) -> None:
    """A wrong argument is refused by name."""

    @PgQueuer().task()
    async def send(to: str, copies: int = 1) -> None: ...

    with pytest.raises(errors.InvalidArguments) as caught:
        send.job(**arguments)
    assert caught.value.arguments == named
    assert all(repr(name) in str(caught.value) for name in named)


async def test_nothing_is_written(pgq: PgQueuer, conn: asyncpg.Connection[Any]) -> None:
    """A job with wrong arguments is refused before any SQL."""

    @pgq.task()
    async def send(to: str) -> None: ...

    transaction = conn.transaction()
    await transaction.start()
    with pytest.raises(errors.InvalidArguments):
        await send.using(connection=conn).enqueue(to=5)  # type: ignore[arg-type]
    await send.using(connection=conn).enqueue(to="a")
    assert await conn.fetchval("SELECT count(*) FROM pgq_jobs") == 1
    await transaction.rollback()


def test_too_many_arguments() -> None:
    """More positional arguments than the function takes are refused as well."""

    @PgQueuer().task()
    async def send(to: str) -> None: ...

    with pytest.raises(errors.InvalidArguments, match="too many positional arguments"):
        send.job("a", "b")  # type: ignore[call-arg]


def test_what_json_cannot_hold() -> None:
    """A value that could not be read back when the job runs is refused when it is enqueued."""

    @PgQueuer().task()
    async def keep(anything: Any) -> None: ...

    with pytest.raises(errors.InvalidArguments, match="serialize"):
        keep.job(object())


async def test_the_payload_is_plain_json(pgq: PgQueuer, conn: asyncpg.Connection[Any]) -> None:
    """The payload is a JSON object by parameter name, so any client can enqueue a task's job."""
    sent: list[tuple[str, int]] = []

    @pgq.task("mail")
    async def send(to: str, copies: int = 1) -> None:
        sent.append((to, copies))

    assert json.loads(send.job("a@example.org").payload) == {"to": "a@example.org"}
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('mail', $1)",
        b'{"to": "b", "copies": 2}',
    )
    await drain(pgq)
    assert sent == [("b", 2)]


async def test_defaults_belong_to_the_running_code(pgq: PgQueuer) -> None:
    """An argument left out takes the default that the code has when the job runs."""

    @pgq.task("mail")
    def old(to: str, copies: int = 1) -> None: ...

    found: list[int] = []
    new = PgQueuer(pgq.queries.driver)

    @new.task("mail")
    def send(to: str, copies: int = 7) -> None:
        found.append(copies)

    await old.enqueue("a")
    await drain(new)
    assert found == [7]


async def test_a_job_that_no_longer_fits(pgq: PgQueuer) -> None:
    """A job that no longer fits fails at once, saying why, and can be retried after a deploy."""
    ran: list[str] = []

    @pgq.task("mail")
    async def version_1(to: str) -> None: ...

    deployed, mended = PgQueuer(pgq.queries.driver), PgQueuer(pgq.queries.driver)

    @deployed.task("mail", backoff=0)
    async def version_2(to: str, subject: str) -> None: ...

    @mended.task("mail")
    async def version_3(to: str, subject: str = "none") -> None:
        ran.append(to + subject)

    job_id = await version_1.enqueue("a")
    await drain(deployed)
    job = await pgq.queries.get_job(job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.error is not None
    assert job.error["type"] == "pgq_core.errors.JobUnfit"
    assert "argument 'subject': Field required" in job.error["message"]

    assert await pgq.queries.retry([job_id]) == {job_id: "retried"}
    await drain(mended)
    assert ran == ["anone"]
    assert (await pgq.queries.get_job(job_id)).state is JobState.SUCCEEDED


async def test_foreign_payloads(pgq: PgQueuer) -> None:
    """A payload that is no object of the right names fails its job, it does not stop the worker."""

    @pgq.task("mail")
    def send(to: str) -> None: ...

    for payload in (b"no json", b"[1]", None, b'{"to": "a", "gone": 1}'):
        await pgq.enqueue("mail", payload)
    await drain(pgq)
    jobs = await pgq.queries.get_jobs()
    assert [(job.state, job.attempt) for job in jobs] == [(JobState.FAILED, 1)] * 4


async def test_an_error_of_the_handler_is_no_misfit(pgq: PgQueuer) -> None:
    """A validation error that the function itself raises is retried like any other error."""

    @pgq.task("outer", max_attempts=2, backoff=0)
    async def outer() -> None:
        await inner.enqueue(number="x")  # type: ignore[arg-type]

    @pgq.task("inner")
    async def inner(number: int) -> None: ...

    job_id = await outer.enqueue()
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 2)
