"""The FAQ on failures: retried by default, never the hopeless ones, and nothing is thrown away."""

from __future__ import annotations

import json

import pytest

from pgq_core import Job, JobState, PgQueuer, Retry
from tests.faq.running import drain


class ValidationError(Exception):
    """Trying again will not help."""


class AuthenticationError(Exception):
    """Neither will it here."""


NEVER = (ValidationError, AuthenticationError)


async def test_a_failure_is_retried_without_being_asked(pgq: PgQueuer) -> None:
    """Re-raising is enough: the job runs again until it succeeds."""
    attempts: list[int] = []

    @pgq.entrypoint("flaky", backoff=0)
    async def flaky(job: Job) -> str:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ConnectionError("the other side is away")
        return "Job completed successfully"

    job_id = await pgq.enqueue("flaky", b"payload")
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    assert attempts == [1, 2, 3]
    assert (job.state, job.result) == (JobState.SUCCEEDED, "Job completed successfully")


async def test_a_failed_job_waits_before_it_is_retried(pgq: PgQueuer) -> None:
    """By default the next attempt comes after a pause that grows and is spread."""

    @pgq.entrypoint("flaky")
    async def flaky(job: Job) -> None:
        raise ConnectionError

    job_id = await pgq.enqueue("flaky")
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    assert job.state is JobState.DEFERRED
    assert job.run_at is not None
    assert job.finished_at is not None
    assert 0.9 < (job.run_at - job.finished_at).total_seconds() < 4


@pytest.mark.parametrize("error", NEVER)
async def test_some_errors_are_never_retried(pgq: PgQueuer, error: type[Exception]) -> None:
    """Errors named in `no_retry_on` fail at the first attempt."""

    @pgq.entrypoint("charge", no_retry_on=NEVER, backoff=0)
    async def charge(job: Job) -> None:
        raise error("no")

    job_id = await pgq.enqueue("charge")
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)


async def test_other_errors_are_retried_beside_them(pgq: PgQueuer) -> None:
    """With `no_retry_on` given, every other error is still retried."""

    @pgq.entrypoint("charge", no_retry_on=NEVER, backoff=0, max_attempts=3)
    async def charge(job: Job) -> None:
        raise ConnectionError

    job_id = await pgq.enqueue("charge")
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).attempt == 3


@pytest.mark.parametrize("limit", [1, 3])
async def test_it_stops_at_the_last_attempt(pgq: PgQueuer, limit: int) -> None:
    """`max_attempts` starts, then the job has failed; no start comes after."""
    starts: list[int] = []

    @pgq.entrypoint("flaky", max_attempts=limit, backoff=0)
    async def flaky(job: Job) -> None:
        starts.append(job.attempt)
        raise ConnectionError

    job_id = await pgq.enqueue("flaky")
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).state is JobState.FAILED
    assert starts == list(range(1, limit + 1))


async def test_a_failed_job_keeps_everything(pgq: PgQueuer) -> None:
    """Payload, message and traceback of every attempt stay, and the job can be run again."""
    broken = True

    @pgq.entrypoint("flaky", max_attempts=2, backoff=0)
    async def flaky(job: Job) -> str:
        if broken:
            raise ConnectionError(f"attempt {job.attempt}")
        return job.payload.decode()

    job_id = await pgq.enqueue("flaky", b"keep me")
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    attempts = await pgq.queries.get_attempts(job_id)
    assert job.payload == b"keep me"
    assert [attempt.outcome for attempt in attempts] == ["retry", "failed"]
    assert [(attempt.error or {})["message"] for attempt in attempts] == ["attempt 1", "attempt 2"]
    assert "in flaky" in (job.error or {})["traceback"]

    broken = False
    assert await pgq.queries.retry([job_id]) == {job_id: "retried"}
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).result == "keep me"


async def test_the_handler_of_the_faq(pgq: PgQueuer) -> None:
    """Invalid JSON is a ValueError that is not retried; a lost connection is."""

    @pgq.entrypoint("robust", no_retry_on=ValueError, backoff=0)
    async def robust_job_handler(job: Job) -> str:
        try:
            data = json.loads(job.payload.decode())
        except json.JSONDecodeError:
            raise ValueError("Invalid job payload - cannot retry") from None
        if data["data"] == "later" and job.attempt == 1:
            raise ConnectionError("temporary")
        return "Job completed successfully"

    good, late, bad = await pgq.queries.enqueue(
        ["robust"] * 3, [b'{"data": "valid"}', b'{"data": "later"}', b"no json"]
    )
    await drain(pgq)
    found = {id_: await pgq.queries.get_job(id_) for id_ in (good, late, bad)}
    assert found[good].result == "Job completed successfully"
    assert (found[late].state, found[late].attempt) == (JobState.SUCCEEDED, 2)
    assert (found[bad].state, found[bad].attempt) == (JobState.FAILED, 1)
    assert (found[bad].error or {})["type"] == "builtins.ValueError"


async def test_the_handler_may_decide_itself(pgq: PgQueuer) -> None:
    """Raising `Retry` says when to try again."""

    @pgq.entrypoint("poll")
    async def poll(job: Job) -> str:
        if job.attempt == 1:
            raise Retry(delay=0, reason="not ready yet")
        return "ready"

    job_id = await pgq.enqueue("poll")
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).result == "ready"


async def test_a_job_without_payload(pgq: PgQueuer) -> None:
    """`job.payload.decode()` works without a payload too: it is b""."""

    @pgq.entrypoint("echo")
    def echo(job: Job) -> str:
        return f"{job.id}:{job.payload.decode()}"

    job_id = await pgq.enqueue("echo")
    await drain(pgq)
    assert (await pgq.queries.get_job(job_id)).result == f"{job_id}:"
