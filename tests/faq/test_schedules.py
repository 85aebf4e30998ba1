"""The FAQ on recurring jobs: `@pgq.schedule` with five fields."""

from __future__ import annotations

from typing import Any

import pytest

from pgq_core import JobState, PgQueuer, Schedule
from tests.faq.running import drain

PATTERNS = {
    "every_minute": "* * * * *",
    "every_hour": "0 * * * *",
    "daily_9am": "0 9 * * *",
    "weekly_sunday": "0 0 * * 0",
    "monthly_1st": "0 0 1 * *",
    "weekly_backup": "0 2 * * 0",
}


@pytest.mark.parametrize("name", PATTERNS)
async def test_the_patterns_of_the_faq(pgq: PgQueuer, conn: Any, name: str) -> None:
    """Each pattern is accepted, and a worker plans its next tick."""

    @pgq.schedule(name, PATTERNS[name])
    async def handler(schedule: Schedule) -> None: ...

    await drain(pgq)
    row = await conn.fetchrow("SELECT * FROM pgq_schedules WHERE name = $1", name)
    assert row["cron"] == PATTERNS[name]
    assert row["next_at"] > row["declared_at"]


@pytest.mark.parametrize("cron", ["", "9 * * *", "0 9 * * * *", "0 25 * * *", "nonsense"])
def test_others_are_refused_at_once(cron: str) -> None:
    """A rule that is none is an error where it is written, with an example of a good one."""
    with pytest.raises(ValueError, match="five fields"):
        PgQueuer().schedule("daily_report", cron)


async def test_a_tick_is_an_ordinary_job(pgq: PgQueuer, conn: Any) -> None:
    """When the time has come the handler gets a Schedule; the job's result and history are kept."""
    seen: list[Schedule] = []

    @pgq.schedule("daily_report", "0 9 * * *")
    async def generate_daily_report(schedule: Schedule) -> str:
        seen.append(schedule)
        return "Daily report generated"

    await drain(pgq)  # plans it
    await conn.execute("UPDATE pgq_schedules SET next_at = next_at - interval '1 day'")
    await drain(pgq)

    (schedule,) = seen
    assert (schedule.name, schedule.cron, schedule.timezone) == ("daily_report", "0 9 * * *", "UTC")
    assert (schedule.tick.hour, schedule.tick.minute) == (9, 0)
    job = await pgq.queries.get_job(schedule.job.id)
    assert (job.state, job.result) == (JobState.SUCCEEDED, "Daily report generated")
    assert len(await pgq.queries.get_attempts(job.id)) == 1


async def test_a_tick_that_fails_is_retried(pgq: PgQueuer) -> None:
    """A scheduled job is retried as any other."""

    @pgq.schedule("hourly_cleanup", "0 * * * *", backoff=0)
    def cleanup_temp_files(schedule: Schedule) -> str:
        if schedule.job.attempt == 1:
            raise ConnectionError
        return "Cleanup completed"

    await drain(pgq)
    job_id = await pgq.queries.run_schedule("hourly_cleanup")
    await drain(pgq)
    job = await pgq.queries.get_job(job_id)
    assert (job.result, job.attempt) == ("Cleanup completed", 2)


async def test_one_tick_one_job_over_all_processes(database: str, pgq: PgQueuer, conn: Any) -> None:
    """Two processes that know the same schedule enqueue a tick once."""

    async def run_once(bound: PgQueuer) -> None:
        @bound.schedule("daily_report", "0 9 * * *")
        async def report(schedule: Schedule) -> None: ...

        await drain(bound)

    await run_once(pgq)
    await conn.execute("UPDATE pgq_schedules SET next_at = next_at - interval '1 day'")
    async with PgQueuer.connect(database) as other:
        await run_once(other)
    await drain(pgq)
    assert await conn.fetchval("SELECT count(*) FROM pgq_jobs") == 1
