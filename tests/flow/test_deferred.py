"""Jobs that start later: punctual, in bounded batches, free of charge for everybody else."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.errors import InvalidInput
from tests.sql import verbs
from tests.support import eventually
from tests.worker.harness import finished, working

PUNCTUAL = 0.1  # seconds, what we promise
SLACK = 0.2  # what a busy test machine may add

LATER = """
INSERT INTO pgq_jobs (entrypoint, run_at)
SELECT $1, $2::timestamptz FROM generate_series(1, $3)
"""


async def lateness(pgq: PgQueuer, *jobs: dict[str, Any], idle: float = 0.0) -> list[float]:
    """How late, in seconds, each of these jobs starts on a worker that has been idle that long."""
    late: list[float] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        assert job.run_at is not None
        late.append((datetime.now(timezone.utc) - job.run_at).total_seconds())

    async with working(pgq):
        await asyncio.sleep(idle)
        for job in jobs:
            await pgq.enqueue("work", **job)

        async def all_ran() -> bool:
            return len(late) == len(jobs)

        await eventually(all_ran)
    return late


@pytest.mark.parametrize("idle", [0.0, 2.5], ids=["fresh", "asleep"])
async def test_started_when_due(pgq: PgQueuer, idle: float) -> None:
    """A deferred job starts within 100 ms of its time, never before, also when the worker that
    hears of it had gone to sleep for longer than that."""
    delays = [0.05, 0.2, 0.45, 0.7, 1.3, timedelta(seconds=0.9)]
    late = await lateness(pgq, *({"delay": delay} for delay in delays), idle=idle)
    assert min(late) >= -0.001
    assert max(late) < PUNCTUAL + SLACK


async def test_an_instant(pgq: PgQueuer) -> None:
    """`run_at=` takes an aware datetime in any zone; one in the past means at once."""
    at = datetime.now(timezone(timedelta(hours=5, minutes=30))) + timedelta(seconds=0.3)
    (late,) = await lateness(pgq, {"run_at": at})
    assert -0.001 <= late < PUNCTUAL + SLACK
    job = await pgq.queries.get_job(await pgq.enqueue("work", run_at=at - timedelta(hours=1)))
    assert job.state.value == "ready"


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001
        {"run_at": 1_900_000_000}, {"run_at": "tomorrow"}, {"run_at": timedelta(-1)},
        {"delay": -1}, {"delay": float("nan")}, {"delay": "5"}, {"delay": True},
        {"delay": 5, "run_at": timedelta(seconds=5)}, {"delay": timedelta(days=-1)},
    ],
)  # fmt: skip
async def test_wrong_times(pgq: PgQueuer, wrong: dict[str, Any]) -> None:
    """A time without a zone, a number for one, a negative or odd delay, or both at once, is refused
    before any SQL."""
    with pytest.raises(InvalidInput, match=r"run_at|delay"):
        await pgq.enqueue("work", **wrong)


async def test_a_limited_job_is_punctual(pgq: PgQueuer) -> None:
    """A deferred job with a key or under a limit starts as punctually."""
    late: list[float] = []

    @pgq.entrypoint("limited", concurrency_limit=2)
    async def limited(job: Job) -> None:
        assert job.run_at is not None
        late.append((datetime.now(timezone.utc) - job.run_at).total_seconds())

    async with working(pgq):
        await asyncio.sleep(1.0)
        for delay in (0.2, 0.5, 0.8):
            await pgq.enqueue("limited", delay=delay)
            await pgq.enqueue("limited", delay=delay + 0.1, concurrency_key="k")

        async def all_ran() -> bool:
            return len(late) == 6

        await eventually(all_ran)
    assert -0.001 <= min(late) <= max(late) < PUNCTUAL + SLACK


async def test_one_promotion_is_bounded(conn: Any) -> None:
    """Of 5,000 jobs due at the same instant one look promotes a thousand, in the order of their
    time; the others are there for the next."""
    await conn.execute(LATER, "work", datetime.now(timezone.utc) + timedelta(hours=1), 5000)
    await conn.execute("UPDATE pgq_deferred SET run_at = now()")
    moved = [(await verbs.look(conn))["promoted"] for _ in range(6)]
    assert moved == [1000] * 5 + [0]


async def test_a_hundred_thousand_at_one_instant(pgq: PgQueuer, conn: Any) -> None:
    """While 100,000 jobs that became due at one instant are promoted, other work flows: an ordinary
    job of the same priority still starts within moments."""
    waits: list[float] = []
    done = 0

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        nonlocal done
        done += 1

    @pgq.entrypoint("other")
    async def other(job: Job) -> None:
        waits.append(time.time() - job.created_at.timestamp())

    await conn.execute(LATER, "work", datetime.now(timezone.utc) + timedelta(hours=1), 100_000)
    await conn.execute("UPDATE pgq_deferred SET run_at = now()")
    async with working(pgq, concurrency=20):
        while len(waits) < 15 and await verbs.count(conn, "pgq_deferred"):
            (id_,) = await pgq.queries.enqueue("other")
            assert await finished(conn, id_) == ["succeeded"]
        pgq.stop()
    assert len(waits) >= 3, "it was meant to be seen while promoting"
    assert done > 0
    assert sorted(waits)[len(waits) // 2] < 0.3
    assert max(waits) < 2.0
