"""When an idle worker may sleep: as soon as no wake-up can have been missed, and no sooner."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from pgq_core import Job, NewJob, PgQueuer
from pgq_core.worker import news, pace, quiet
from pgq_core.worker.quiet import Quiet
from tests.support import eventually
from tests.worker.harness import FAR, Connection, asleep, finished, in_state, working

SOON = 5.0  # a poll is FAR away, and looks that grow ever rarer take as long to get there
QUIET = {"idle_look": FAR, "prune": False}
WRITE = "INSERT INTO pgq_jobs (entrypoint) VALUES ('work') RETURNING id"


@pytest.fixture(autouse=True)
def work(pgq: PgQueuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that does nothing; a worker that missed nothing sleeps far at once."""
    monkeypatch.setattr(pace, "QUIET_LOOK", FAR)

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass


async def test_a_worker_that_missed_nothing_sleeps(pgq: PgQueuer, conn: Connection) -> None:
    """After a job an idle worker looks a few times and sleeps, when nobody else writes."""
    async with working(pgq, **QUIET) as worker:
        await asleep(worker)
        await finished(conn, await pgq.enqueue("work"))
        began = time.monotonic()
        await asleep(worker)
        assert time.monotonic() - began < SOON


async def test_a_writer_from_before_the_flag_is_waited_for(
    pgq: PgQueuer, database: str, conn: Connection
) -> None:
    """A transaction that enqueued when no worker was idle is looked for until it ends."""
    writer = await asyncpg.connect(database)
    async with writer.transaction():
        job = await writer.fetchval(WRITE)
        async with working(pgq, **QUIET) as worker:
            await finished(conn, await pgq.enqueue("work"))
            await looks_on(worker)
            await writer.execute("COMMIT; BEGIN")
            await asyncio.wait_for(finished(conn, job), SOON)
            await asleep(worker)
    await writer.close()


async def test_a_writer_told_to_be_silent_is_waited_for(
    pgq: PgQueuer, database: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job enqueued a moment after a wake-up, which brings no other, is found all the same."""
    monkeypatch.setattr(quiet, "GATE", 1.0)  # as if that moment were long
    writer = await asyncpg.connect(database)
    async with working(pgq, **QUIET) as worker:
        await asleep(worker)
        await finished(conn, await pgq.enqueue("work"))
        await writer.execute("BEGIN")
        await writer.execute("SELECT pgq_stamp_woken()")
        job = await writer.fetchval(WRITE)
        await asyncio.sleep(1.2)
        await looks_on(worker)
        await writer.execute("COMMIT")
        await asyncio.wait_for(finished(conn, job), SOON)
        await asleep(worker)
    await writer.close()


async def test_others_that_hold_jobs_are_watched(
    pgq: PgQueuer, other: PgQueuer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others hold jobs, with which they may die, an idle worker looks twice a second."""
    monkeypatch.setattr(news, "WATCH", 0.05)
    end = asyncio.Event()

    @other.entrypoint("hold")
    async def hold(job: Job) -> None:
        await end.wait()

    async with working(other, lease=1.0, prune=False):
        job = await other.enqueue("hold")
        await in_state(conn, job, "running")
        async with working(pgq, lease=1.0, **QUIET) as worker:
            await looks_on(worker, 40)  # long after that was news, so by the other's own word
            end.set()
            await finished(conn, job)
            await asleep(worker)


async def test_a_full_share_does_not_keep_the_worker_awake(pgq: PgQueuer, conn: Connection) -> None:
    """With `queues={"full": 1, "free": 5}` and more jobs waiting in the full one, the worker sleeps,
    and is woken for a job in the other; the next in the full one starts when its turn has come."""
    end = asyncio.Event()

    @pgq.entrypoint("hold", queue="full")
    async def hold(job: Job) -> None:
        await end.wait()

    held = [job.id for job in await pgq.enqueue_many([NewJob("hold", queue="full")] * 3)]
    async with working(pgq, queues={"full": 1, "free": 5}, **QUIET) as worker:
        await in_state(conn, held[0], "running")
        await asleep(worker)
        await asyncio.wait_for(finished(conn, await pgq.enqueue("work", queue="free")), SOON)
        await asleep(worker)
        end.set()
        await asyncio.wait_for(finished(conn, *held), SOON)


async def looks_on(worker: object, times: int = 5) -> None:
    """The worker looks so many times more, and still does not mean to sleep long."""
    claimer = worker.crew.claimer  # type: ignore[attr-defined]
    seen, ask = [], claimer.claim

    async def counted(*args: object, **options: object) -> object:
        seen.append(options.get("look", False))
        return await ask(*args, **options)

    async def enough() -> bool:
        return seen.count(True) >= times

    claimer.claim = counted
    try:
        await eventually(enough)
    finally:
        claimer.claim = ask


def test_what_may_be_open_is_named_by_the_first_look() -> None:
    """Only transactions that began to write before that look are waited for."""
    told = Quiet()
    assert not told.after(1.0, oldest=90, following=100)
    assert not told.after(2.0, oldest=99, following=120)
    assert told.after(3.0, oldest=100, following=130)


def test_nobody_writes() -> None:
    """One look is enough when the oldest open transaction is the next one."""
    assert Quiet().after(1.0, oldest=100, following=100)


def test_a_wake_up_begins_it_anew() -> None:
    """After a wake-up producers are silent for a moment: looks in it prove nothing."""
    told = Quiet()
    assert told.after(time.monotonic(), oldest=100, following=100)
    told.heard()
    assert not told.after(time.monotonic(), oldest=100, following=100)
    assert not told.after(time.monotonic() + quiet.GATE, oldest=100, following=101)
    assert told.after(time.monotonic() + quiet.GATE, oldest=101, following=102)


def test_a_look_that_did_not_see_all_begins_it_anew() -> None:
    """What an earlier look named does not count when the flag was down since."""
    told = Quiet()
    assert not told.after(1.0, oldest=90, following=100)
    told.broken()
    assert not told.after(2.0, oldest=100, following=110)
