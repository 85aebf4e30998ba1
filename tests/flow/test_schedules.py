"""Schedules: one tick, one ordinary job, whoever fires it; rules appear, change and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pgq_core import Context, JobState, PgQueuer, Schedule
from pgq_core.errors import AlreadyRegistered, InvalidInput
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from tests.flow.processes import Processes
from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO
from tests.support import eventually
from tests.worker.harness import finished, working

Connect = Callable[..., Awaitable[Any]]

HOURLY = "0 * * * *"
PUNCTUAL = 0.1  # seconds, what we promise
SLACK = 0.15  # what a busy test machine may add


async def planned(on: Any, name: str, at: datetime | timedelta) -> datetime:
    """Let the next tick of a schedule be at that time."""
    if isinstance(at, timedelta):
        at = await on.fetchval(
            "SELECT date_trunc('milliseconds', clock_timestamp()) + $1::interval", at
        )
    changed = await on.execute("UPDATE pgq_schedules SET next_at = $2 WHERE name = $1", name, at)
    assert changed == "UPDATE 1"
    return at


async def next_at(on: Any, name: str) -> datetime | None:
    """What is planned."""
    found: datetime | None = await on.fetchval(
        "SELECT next_at FROM pgq_schedules WHERE name = $1", name
    )
    return found


async def fire(on: Any, row: Any, *, upcoming: datetime | None = None, **changed: Any) -> list[int]:
    """Fire what was read as due; the ids of the jobs that made."""
    values = {"name": row["name"], "cron": row["cron"], "timezone": row["timezone"],
              "expected": row["next_at"], "ticks": [row["next_at"]]} | changed  # fmt: skip
    later = upcoming or row["next_at"] + timedelta(hours=1)
    return [job["id"] for job in await verbs.call(on, "fire_schedule", next_at=later, **values)]


async def due(on: Any) -> list[Any]:
    """What is due of the user's schedules."""
    return await verbs.call(on, "due_schedules", schedules=[])


@pytest.fixture
async def report(queries: Queries, conn: Any) -> str:
    """A schedule made at run time, due now."""
    await queries.set_schedule("report", HOURLY, entrypoint="work", payload={"to": "ops"})
    await planned(conn, "report", timedelta(0))
    return "report"


# -- once -----------------------------------------------------------------------------------------


async def test_a_tick_is_one_ordinary_job(conn: Any, report: str, queries: Queries) -> None:
    """Firing enqueues a job like any other: its queue, payload and priority are the rule's, and its
    headers say which tick it is."""
    (row,) = await due(conn)
    (id_,) = await fire(conn, row)
    job = await queries.get_job(id_)
    assert (job.state, job.entrypoint, job.json()) == (JobState.READY, "work", {"to": "ops"})
    assert job.headers["pgq-schedule"] == report
    assert datetime.fromisoformat(job.headers["pgq-tick"]) == row["next_at"]
    assert await due(conn) == []


@pytest.mark.parametrize(("end", "fired"), [(KEEP, []), (UNDO, [1])])
async def test_two_fire_the_same_tick(
    conn: Any, connect: Connect, report: str, end: str, fired: list[int]
) -> None:
    """Of two transactions that fire the same tick the second waits for the first: it fires nothing,
    or the tick itself if the first one rolls back."""
    (row,) = await due(conn)
    other, observer = await connect(), await connect()
    async with verbs.held(conn, end=end):
        assert len(await fire(conn, row)) == 1
        async with verbs.waiting(observer, other, fire(other, row)) as second:
            await conn.execute(end)
    assert len(await second) == len(fired)
    assert await verbs.count(conn, "pgq_jobs") == 1


async def test_many_fire_the_same_tick(conn: Any, connect: Connect, report: str) -> None:
    """Twenty connections that have all read the same tick as due enqueue it once."""
    (row,) = await due(conn)
    others = [await connect() for _ in range(20)]
    made = await asyncio.gather(*(fire(on, row) for on in others))
    assert sum(map(len, made)) == await verbs.count(conn, "pgq_jobs") == 1


@pytest.mark.parametrize("meanwhile", ["paused", "changed", "deleted", "moved"])
async def test_a_rule_that_changed_meanwhile(
    conn: Any, queries: Queries, report: str, meanwhile: str
) -> None:
    """A process that read a rule as due fires nothing when the rule is no longer what it read."""
    (row,) = await due(conn)
    if meanwhile == "paused":
        await queries.pause_schedule(report)
    elif meanwhile == "changed":
        await queries.set_schedule(report, "5 * * * *", entrypoint="work")
    elif meanwhile == "deleted":
        await queries.delete_schedule(report)
    else:
        await planned(conn, report, timedelta(hours=1))
    assert await fire(conn, row) == []
    assert await verbs.count(conn, "pgq_jobs") == 0


async def test_a_rule_not_planned_yet_that_changes(conn: Any, queries: Queries) -> None:
    """A plan made for the old rule is not written over the new one."""
    await queries.set_schedule("report", HOURLY, entrypoint="work")
    (row,) = await due(conn)
    assert row["next_at"] is None
    await queries.set_schedule("report", "@yearly", entrypoint="work")
    at = datetime(2030, 1, 1, tzinfo=timezone.utc)
    await fire(conn, row, ticks=[], upcoming=at)
    assert await next_at(conn, "report") is None


async def test_two_processes(processes: Processes, conn: Any) -> None:
    """Two processes with the same schedule enqueue each tick once, within 100 ms of its time, and
    the job starts as soon."""
    declared = ("tick", "report", {"cron": HOURLY})
    for _ in range(2):
        processes.spawn(declared)
    await processes.ready(conn, 2)

    async def is_planned() -> bool:
        return await next_at(conn, "report") is not None

    await eventually(is_planned)
    late = []
    for n in range(1, 4):
        at = await planned(conn, "report", timedelta(seconds=0.8))
        await verbs.call(conn, "tell_all", message="look")
        lines = await processes.said("start", n)
        late.append(lines[-1].at - at.timestamp())
    assert 0 <= min(late) < PUNCTUAL
    assert max(late) < PUNCTUAL + SLACK
    assert await verbs.count(conn, "pgq_jobs") == 3
    ticks = await conn.fetch("SELECT created_at, headers ->> 'pgq-tick' AS tick FROM pgq_jobs")
    for row in ticks:
        gap = row["created_at"] - datetime.fromisoformat(row["tick"])
        assert timedelta(0) <= gap < timedelta(seconds=PUNCTUAL + SLACK)


async def test_a_busy_worker_is_punctual_too(pgq: PgQueuer, conn: Any) -> None:
    """Also while every slot is taken a worker fires ticks in time; others can run them."""
    began = asyncio.Event()

    @pgq.entrypoint("busy")
    async def busy(job: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    @pgq.schedule("report", HOURLY)
    async def report(schedule: Schedule) -> None: ...

    await pgq.enqueue("busy")
    async with working(pgq, concurrency=1, shutdown_timeout=0.0):
        await asyncio.wait_for(began.wait(), 10)
        at = await planned(conn, "report", timedelta(seconds=0.6))

        async def fired() -> datetime | None:
            found: datetime | None = await conn.fetchval(
                "SELECT created_at FROM pgq_jobs WHERE entrypoint = 'schedule:report'"
            )
            return found

        created: datetime = await eventually(fired)
        assert timedelta(0) <= created - at < timedelta(seconds=0.25 + PUNCTUAL + SLACK)


# -- handlers -------------------------------------------------------------------------------------


async def run_once(pgq: PgQueuer) -> None:
    """Work until nothing is left."""
    await pgq.run(until_empty=True)


async def test_a_handler_gets_a_schedule(pgq: PgQueuer, conn: Any) -> None:
    """The handler takes a Schedule: name, rule, zone, the tick in that zone, and the job; a second
    parameter is the context."""
    seen: list[Any] = []

    @pgq.schedule("paris", "0 9 * * *", timezone="Europe/Paris", payload={"n": 1})
    async def paris(schedule: Schedule, context: Context) -> int:
        seen.extend([schedule, context.job.id])
        return 7

    @pgq.schedule("plain", "0 9 * * *")
    def plain(schedule: Schedule) -> None:
        seen.append(schedule.name)

    await run_once(pgq)
    for name in ("paris", "plain"):
        await planned(conn, name, timedelta(0))
    await run_once(pgq)
    schedule, job_id = (one for one in seen if one != "plain")
    assert "plain" in seen
    assert (schedule.name, schedule.cron, schedule.timezone) == (
        "paris",
        "0 9 * * *",
        "Europe/Paris",
    )
    assert schedule.tick.tzinfo is not None
    assert schedule.tick.tzinfo.key == "Europe/Paris"
    assert (schedule.job.id, schedule.job.json()) == (job_id, {"n": 1})
    assert (await pgq.queries.get_job(job_id)).result == 7


async def test_ticks_are_retried_like_any_job(pgq: PgQueuer, conn: Any) -> None:
    """A tick whose handler raises is retried with its options, keeps its history, and counts as one
    tick."""
    attempts: list[datetime] = []

    @pgq.schedule("report", HOURLY, max_attempts=3, backoff=0)
    async def report(schedule: Schedule) -> None:
        attempts.append(schedule.tick)
        if len(attempts) < 3:
            raise RuntimeError

    await run_once(pgq)
    await planned(conn, "report", timedelta(0))
    await run_once(pgq)
    (job,) = await pgq.queries.get_jobs()
    assert len(set(attempts)) == 1
    outcomes = [attempt.outcome for attempt in await pgq.queries.get_attempts(job.id)]
    assert outcomes == ["retry", "retry", "succeeded"]


@pytest.mark.parametrize(("catch_up", "fired"), [("skip", 0), ("last", 1), ("all", 5)])
async def test_missed_while_everything_was_down(
    pgq: PgQueuer, conn: Any, catch_up: str, fired: int
) -> None:
    """Ticks missed while no worker ran follow `catch_up`: skipped, the last one, or all."""

    @pgq.schedule("report", HOURLY, catch_up=catch_up)
    async def report(schedule: Schedule) -> None: ...

    await run_once(pgq)
    now = await conn.fetchval("SELECT date_trunc('hour', now()) - interval '4 hours'")
    recent = await conn.fetchval("SELECT now() - date_trunc('hour', now()) < interval '1 minute'")
    await planned(conn, "report", now)
    await run_once(pgq)
    assert await verbs.count(conn, "pgq_jobs") == (1 if recent and not fired else fired)
    upcoming = await next_at(conn, "report")
    assert upcoming is not None
    assert upcoming > datetime.now(timezone.utc) - timedelta(minutes=1)


async def test_jitter(conn: Any, queries: Queries) -> None:
    """With `jitter=` a tick's job is due a random part of that time later, never earlier."""
    await queries.set_schedule("report", HOURLY, entrypoint="work", jitter=600)
    dues = []
    for _ in range(8):
        at = await planned(conn, "report", timedelta(hours=1))
        (row,) = await verbs.call(conn, "due_schedules", schedules=[]) or [
            {"name": "report", "cron": HOURLY, "timezone": "UTC", "next_at": at}
        ]
        (id_,) = await fire(conn, row)
        job = await queries.get_job(id_)
        assert job.run_at is not None
        dues.append((job.run_at - at).total_seconds())
    assert len(set(dues)) == 8
    assert 0 <= min(dues) <= max(dues) <= 600


# -- rules in code ----------------------------------------------------------------------------------


async def test_rules_come_change_and_go_with_the_code(
    database: str, conn: Any, queries: Queries
) -> None:
    """A schedule in code appears with its worker; a changed rule is planned anew; one that no live
    worker declares is marked, not run and not dropped."""

    async def version(cron: str | None) -> None:
        async with PgQueuer.connect(database) as pgq:
            if cron is not None:

                @pgq.schedule("report", cron)
                async def report(schedule: Schedule) -> None: ...

            @pgq.entrypoint("other")
            async def other(job: Any) -> None: ...

            async with working(pgq):
                await eventually(lambda: seen(cron))

    async def seen(cron: str | None) -> bool:
        found = {one["name"]: one for one in await queries.get_schedules()}
        if cron is None:
            return found["report"]["declared"] is False
        return "report" in found and found["report"]["cron"] == cron and found["report"]["declared"]

    await version("0 0 1 1 *")
    first = await next_at(conn, "report")
    await version("0 0 1 7 *")
    assert await next_at(conn, "report") != first
    await planned(conn, "report", timedelta(seconds=-5))
    await version(None)
    assert await verbs.count(conn, "pgq_jobs") == 0
    assert [one["name"] for one in await queries.get_schedules()] == ["report"]


async def test_the_same_rule_keeps_its_plan(database: str, conn: Any) -> None:
    """A restart with an unchanged rule neither forgets what is planned nor what is paused."""

    async def restart() -> None:
        async with PgQueuer.connect(database) as pgq:
            pgq.schedule("report", "0 0 1 1 *")(lambda schedule: None)
            await run_once(pgq)

    await restart()
    at = await planned(conn, "report", timedelta(days=3))
    await conn.execute("UPDATE pgq_schedules SET paused_at = now()")
    await restart()
    row = await conn.fetchrow("SELECT next_at, paused_at IS NOT NULL AS paused FROM pgq_schedules")
    assert tuple(row) == (at, True)


async def test_workers_without_schedules(pgq: PgQueuer, conn: Any, report: str) -> None:
    """A worker with `schedules=False` fires nothing."""

    @pgq.entrypoint("work")
    async def work(job: Any) -> None: ...

    await pgq.run_worker(pgq.worker(WorkerOptions(until_empty=True, schedules=False)))
    assert await verbs.count(conn, "pgq_jobs") == 0
    await run_once(pgq)
    assert await verbs.count(conn, "pgq_jobs") == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cron": "0 9 * *"}, "has 4 fields"), ({"cron": "0 25 * * *"}, "no cron rule"),
        ({"cron": "@sometimes"}, "no cron rule"), ({"cron": "R R * * *"}, "give fixed times"),
        ({"cron": "H H * * *"}, "give fixed times"), ({"timezone": "Mars/Olympus"}, "Europe/Paris"),
        ({"catch_up": "some"}, "'skip', 'last', 'all'"), ({"jitter": -1.0}, "jitter=-1.0"),
        ({"jitter": "5"}, "jitter='5'"),
        ({"name": ""}, "name"), ({"payload": object()}, "payload"), ({"queue": ""}, "queue"),
    ],
)  # fmt: skip
async def test_wrong_rules(pgq: PgQueuer, wrong: dict[str, Any], says: str) -> None:
    """A rule that cannot be is refused where it is declared or set, saying why, before any SQL."""
    options = {"name": "report", "cron": HOURLY} | wrong
    with pytest.raises(InvalidInput, match=says):
        pgq.schedule(**options)(lambda schedule: None)
    with pytest.raises(InvalidInput, match=says):
        await pgq.queries.set_schedule(entrypoint="work", **options)
    assert await pgq.queries.get_schedules() == []


async def test_a_name_is_taken_once(pgq: PgQueuer) -> None:
    """Two schedules of one name in the same code are an error."""
    pgq.schedule("report", HOURLY)(lambda schedule: None)
    with pytest.raises(AlreadyRegistered):
        pgq.schedule("report", HOURLY)(lambda schedule: None)


async def test_a_rule_that_broke_is_put_aside(pgq: PgQueuer, conn: Any, report: str) -> None:
    """A rule in the database that cannot be planned any more is paused and logged; the worker goes
    on."""
    await conn.execute("UPDATE pgq_schedules SET cron = 'nonsense'")

    @pgq.entrypoint("work")
    async def work(job: Any) -> None: ...

    await pgq.enqueue("work")
    assert [one["ticks"] for one in await pgq.queries.get_schedules()] == [[]]
    await run_once(pgq)
    assert await conn.fetchval("SELECT paused_at IS NOT NULL FROM pgq_schedules")
    assert await verbs.count(conn, "pgq_jobs") == 1


# -- rules at run time ------------------------------------------------------------------------------


async def test_made_at_run_time(pgq: PgQueuer, queries: Queries, conn: Any) -> None:
    """A schedule made while workers run is planned by them at once, and fires any entrypoint."""
    ran = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Any) -> None:
        assert job.json() == {"to": "ops"}
        ran.set()

    async with working(pgq):
        await queries.set_schedule("report", HOURLY, entrypoint="work", payload={"to": "ops"})
        await eventually(lambda: next_at(conn, "report"))
        await planned(conn, "report", timedelta(0))
        await verbs.call(conn, "tell_all", message="look")
        await asyncio.wait_for(ran.wait(), 10)


async def test_listing(queries: Queries) -> None:
    """Every schedule is listed with its next five ticks, none while it is paused."""
    await queries.set_schedule("nightly", "30 2 * * *", entrypoint="work", timezone="Europe/Paris")
    await queries.set_schedule("weekly", "@weekly", entrypoint="work", headers={"a": 1})
    await queries.pause_schedule("weekly")
    nightly, weekly = await queries.get_schedules()
    assert len(nightly["ticks"]) == 5
    assert nightly["ticks"] == sorted(nightly["ticks"])
    assert (nightly["declared"], nightly["origin"]) == (True, "user")
    assert (weekly["ticks"], weekly["headers"]) == ([], {"a": 1})
    assert len((await queries.get_schedules(ticks=2))[0]["ticks"]) == 2


async def test_editing(queries: Queries, conn: Any) -> None:
    """Setting a schedule again changes it: a new rule is planned anew, anything else leaves the plan."""
    await queries.set_schedule("report", HOURLY, entrypoint="work")
    at = await planned(conn, "report", timedelta(minutes=7))
    await queries.set_schedule("report", HOURLY, entrypoint="other", payload="x", priority=1)
    assert await next_at(conn, "report") == at
    await queries.set_schedule("report", HOURLY, entrypoint="other", timezone="Asia/Kolkata")
    assert await next_at(conn, "report") is None


async def test_pausing(pgq: PgQueuer, queries: Queries, conn: Any, report: str) -> None:
    """A paused schedule fires nothing, and ticks of the pause are not missed ones: it goes on with
    the next."""

    @pgq.entrypoint("work")
    async def work(job: Any) -> None: ...

    await queries.pause_schedule(report)
    await run_once(pgq)
    assert await verbs.count(conn, "pgq_jobs") == 0
    await queries.resume_schedule(report)
    await run_once(pgq)
    assert await verbs.count(conn, "pgq_jobs") == 0
    upcoming = await next_at(conn, report)
    assert upcoming is not None
    assert upcoming > datetime.now(timezone.utc)


async def test_running_now(pgq: PgQueuer, queries: Queries, conn: Any) -> None:
    """A schedule can be run now, besides its plan, also a paused one; the time of the call is its
    tick, whatever its fraction of a second."""
    ticks: list[datetime] = []
    pgq.schedule("report", HOURLY)(lambda schedule: ticks.append(schedule.tick))
    await run_once(pgq)
    before = await next_at(conn, "report")
    await queries.pause_schedule("report")
    ids = [await queries.run_schedule("report") for _ in range(12)]
    await run_once(pgq)
    assert await finished(conn, *ids) == ["succeeded"] * 12
    assert len(set(ticks)) == 12
    assert await next_at(conn, "report") == before
    headers = json.loads(await conn.fetchval("SELECT headers FROM pgq_jobs WHERE id = $1", ids[0]))
    assert len(headers["pgq-tick"]) == len("2026-01-01T00:00:00.000000+00:00")


async def test_deleting(pgq: PgQueuer, queries: Queries, conn: Any, report: str) -> None:
    """A deleted schedule is gone at once; jobs it has enqueued stay."""
    await queries.run_schedule(report)
    await queries.delete_schedule(report)
    assert await queries.get_schedules() == []
    assert await verbs.count(conn, "pgq_jobs") == 1


@pytest.mark.parametrize("verb", ["pause", "resume", "run", "delete"])
async def test_unknown_schedules(queries: Queries, verb: str) -> None:
    """A verb about a schedule that does not exist is an error that says where to look."""
    with pytest.raises(InvalidInput, match="no schedule 'nothing'"):
        await getattr(queries, f"{verb}_schedule")("nothing")


async def test_a_failed_transaction_fires_nothing(conn: Any, report: str) -> None:
    """Firing is one statement: if the job cannot be written, the tick stays due."""
    (row,) = await due(conn)
    await conn.execute(
        "ALTER TABLE pgq_jobs ADD CONSTRAINT never CHECK (entrypoint <> 'work') NOT VALID"
    )
    try:
        with pytest.raises(Exception, match="never"):
            await fire(conn, row)
    finally:
        await conn.execute("ALTER TABLE pgq_jobs DROP CONSTRAINT never")
    assert len(await due(conn)) == 1
