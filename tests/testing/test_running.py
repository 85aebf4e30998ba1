"""Running jobs in a test's own process."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pgq_core import Job, JobState, PgQueuer, Schedule, Snooze, errors
from pgq_core.testing import Clock, run_job, run_pending


async def test_everything_pending_runs(pgq: PgQueuer) -> None:
    """`run_pending` runs what is due and what that enqueues, and says how each attempt ended."""

    @pgq.task()
    async def first(number: int) -> int:
        await second.enqueue(number)
        return number

    @pgq.task()
    def second(number: int) -> int:
        return number * 2

    await first.enqueue(1)
    later = await first.using(delay=3600).enqueue(5)
    ran = await run_pending(pgq)
    assert [(one.job.entrypoint, one.outcome, one.result) for one in ran] == [
        ("first", "succeeded", 1),
        ("second", "succeeded", 2),
    ]
    assert (await pgq.queries.get_job(later)).state is JobState.DEFERRED
    assert await run_pending(pgq) == []


async def test_failures_are_loud(pgq: PgQueuer) -> None:
    """An attempt that went wrong fails the test, with the handler's own traceback."""

    @pgq.entrypoint("breaks")
    async def breaks(job: Job) -> None:
        raise RuntimeError("the disk is full")

    await pgq.enqueue("breaks")
    with pytest.raises(AssertionError, match=r"(?s)retry: .*the disk is full.*in breaks"):
        await run_pending(pgq)


async def test_failures_as_data(pgq: PgQueuer) -> None:
    """With `check=False` a test can look at what went wrong."""

    @pgq.entrypoint("breaks", max_attempts=1)
    async def breaks(job: Job) -> None:
        raise RuntimeError("the disk is full")

    await pgq.enqueue("breaks")
    [one] = await run_pending(pgq, check=False)
    assert one.outcome == "failed"
    assert one.error is not None
    assert one.error["message"] == "the disk is full"


async def test_time_can_be_set(pgq: PgQueuer) -> None:
    """`now=` runs deferred jobs and retries that are due by then, without waiting."""
    clock, ran = Clock(), []

    @pgq.entrypoint("work", backoff=600)
    async def work(job: Job) -> None:
        ran.append((job.payload, job.attempt))
        if job.attempt == 1:
            raise RuntimeError("once")

    await pgq.enqueue("work", "soon", delay=timedelta(minutes=30))
    await pgq.enqueue("work", "late", delay=timedelta(hours=30))
    await run_pending(pgq, now=clock.now)
    assert ran == []
    await run_pending(pgq, now=clock.move(hours=1), check=False)
    assert ran == [(b"soon", 1), (b"soon", 2)]
    await run_pending(pgq, now=clock.move(hours=40), check=False)
    assert ran[2:] == [(b"late", 1), (b"late", 2)]


async def test_jobs_that_come_back_for_ever(pgq: PgQueuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that always comes back before `now` ends the run with an error that names it."""
    monkeypatch.setattr("pgq_core.testing.running.ROUNDS", 3)

    @pgq.entrypoint("again")
    async def again(job: Job) -> None:
        raise Snooze(60)

    await pgq.enqueue("again")
    with pytest.raises(AssertionError, match=r"come back again and again .*again"):
        await run_pending(pgq, now=Clock().move(days=365))


async def test_schedules_fire(pgq: PgQueuer) -> None:
    """A schedule fires when the clock has passed its tick."""
    ticks: list[datetime] = []
    clock = Clock(datetime(2030, 1, 1, 8, 0, tzinfo=timezone.utc))

    @pgq.schedule("morning", "0 9 * * *")
    async def morning(schedule: Schedule) -> None:
        ticks.append(schedule.tick)

    await run_pending(pgq, now=clock.now)
    assert ticks == []
    await run_pending(pgq, now=clock.move(hours=2))
    assert ticks == [datetime(2030, 1, 1, 9, 0, tzinfo=timezone.utc)]
    await run_pending(pgq, now=clock.now)
    assert len(ticks) == 1


async def test_schedules_carry_their_payload(pgq: PgQueuer) -> None:
    """A schedule that fires in a test hands its handler the payload it was declared with."""
    payloads: list[object] = []
    clock = Clock(datetime(2030, 1, 1, 8, 0, tzinfo=timezone.utc))

    @pgq.schedule("morning", "0 9 * * *", payload={"to": "ops"})
    async def morning(schedule: Schedule) -> None:
        payloads.append(schedule.job.json())

    await run_pending(pgq, now=clock.now)
    await run_pending(pgq, now=clock.move(hours=2))
    assert payloads == [{"to": "ops"}]


async def test_some_queues(pgq: PgQueuer) -> None:
    """`queues=` leaves the other queues alone."""
    pgq.entrypoint("work")(lambda job: None)
    await pgq.enqueue("work", queue="mail")
    assert await run_pending(pgq, queues=["default"]) == []
    assert len(await run_pending(pgq, queues=["mail"])) == 1


async def test_one_job(pgq: PgQueuer) -> None:
    """`run_job` runs one job and leaves all others where they are."""

    @pgq.task()
    def double(number: int) -> int:
        return number * 2

    ids = [await double.enqueue(number) for number in range(3)]
    ran = await run_job(pgq, ids[1])
    assert (ran.job.id, ran.result) == (ids[1], 2)
    states = [(await pgq.queries.get_job(job_id)).state.value for job_id in ids]
    assert states == ["ready", "succeeded", "ready"]


async def test_one_job_that_waits(pgq: PgQueuer) -> None:
    """`run_job` runs a job now even if it is deferred or paused; its retry waits again."""

    @pgq.entrypoint("work", backoff=600)
    async def work(job: Job) -> None:
        if job.attempt == 1:
            raise RuntimeError("once")

    other = await pgq.enqueue("work", run_at=timedelta(days=1))
    job_id = await pgq.enqueue("work", run_at=timedelta(days=1), concurrency_key="k")
    await pgq.queries.pause("default")
    assert (await run_job(pgq, job_id, check=False)).outcome == "retry"
    assert (await pgq.queries.get_job(job_id)).state is JobState.DEFERRED
    assert (await run_job(pgq, job_id)).job.attempt == 2
    assert (await pgq.queries.get_job(other)).state is JobState.DEFERRED


async def test_a_job_that_does_not_wait(pgq: PgQueuer) -> None:
    """`run_job` refuses a job that is finished, unknown, or of an unknown entrypoint."""
    pgq.entrypoint("work")(lambda job: None)
    job_id = await pgq.enqueue("work")
    await run_job(pgq, job_id)
    with pytest.raises(errors.InvalidInput, match="is succeeded"):
        await run_job(pgq, job_id)
    with pytest.raises(errors.JobNotFound):
        await run_job(pgq, job_id + 100)
    with pytest.raises(errors.UnknownEntrypoint):
        await run_job(pgq, await pgq.enqueue("elsewhere", check=False))


async def test_a_loud_job(pgq: PgQueuer) -> None:
    """`run_job` fails the test when the job goes wrong."""

    @pgq.entrypoint("breaks")
    def breaks(job: Job) -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(AssertionError, match="the disk is full"):
        await run_job(pgq, await pgq.enqueue("breaks"))


def test_a_clock_needs_a_time_zone() -> None:
    """A clock set to a naive time would mean something else on every machine: it is refused."""
    with pytest.raises(errors.InvalidInput, match="aware datetime"):
        Clock().set(datetime(2030, 1, 1))  # noqa: DTZ001
