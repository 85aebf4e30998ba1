"""The six promises of the README, each seen from outside: real processes, real signals, real SQL.

The finer tests of each (every interleaving, every library) stand in the other folders.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgq_core import Context, Job, JobState, PgQueuer
from pgq_core.options import WorkerOptions
from pgq_core.sql import load
from tests.faq.running import drain, wait_until_gone, worker_process
from tests.support import eventually

if TYPE_CHECKING:
    from tests.conftest import Connect

HANDLERS = """
import asyncio, os, signal
from pgq_core import Job, PgQueuer

pgq = PgQueuer()

@pgq.entrypoint("hang")
async def hang(job: Job) -> int:
    if job.attempt == 1:
        await asyncio.sleep(600)
    return job.attempt

@pgq.entrypoint("once", max_attempts=1)
async def once(job: Job) -> None:
    await asyncio.sleep(600)

@pgq.entrypoint("poison", backoff=0)
async def poison(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@pgq.entrypoint("harmless")
async def harmless(job: Job) -> int:
    await asyncio.sleep(0.05)
    return job.attempt
"""


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    """A directory with a module of handlers for worker processes: `handlers:pgq`."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


async def in_state(pgq: PgQueuer, entrypoint: str, state: JobState) -> list[Job]:
    """The jobs of an entrypoint that are in this state."""
    return await pgq.queries.get_jobs(entrypoint=entrypoint, states=[state])


# -- 1: at least once, and fenced -------------------------------------------------------------


async def test_a_committed_job_is_run_until_it_has_an_outcome(
    database: str, pgq: PgQueuer, handlers: Path
) -> None:
    """A worker is killed with ten jobs in hand: each of them runs again elsewhere and succeeds."""
    ids = await pgq.queries.enqueue(["hang"] * 10)
    with worker_process(database, "handlers:pgq", handlers) as worker:
        await eventually(lambda: ten_running(pgq), what="ten jobs run")
        worker.send_signal(signal.SIGKILL)
        wait_until_gone(worker)
    with worker_process(database, "handlers:pgq", handlers):
        jobs = [await pgq.queries.wait(id_, timeout=20) for id_ in ids]
    assert [job.result for job in jobs] == [2] * 10
    for id_ in ids:
        history = [attempt.outcome for attempt in await pgq.queries.get_attempts(id_)]
        assert history == ["lost", "succeeded"]


async def ten_running(pgq: PgQueuer) -> bool:
    return len(await in_state(pgq, "hang", JobState.RUNNING)) == 10


async def test_max_attempts_1_means_at_most_once(
    database: str, pgq: PgQueuer, handlers: Path
) -> None:
    """A job that may start only once is not started again when its worker was killed."""
    (job_id,) = await pgq.queries.enqueue("once")
    with worker_process(database, "handlers:pgq", handlers) as worker:
        await eventually(lambda: in_state(pgq, "once", JobState.RUNNING))
        worker.send_signal(signal.SIGKILL)
        wait_until_gone(worker)
    with worker_process(database, "handlers:pgq", handlers):
        job = await pgq.queries.wait(job_id, timeout=20)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)


async def test_a_worker_that_lost_its_lease_changes_nothing(pgq: PgQueuer, conn: Any) -> None:
    """Its lease is taken away while the handler runs: what the handler returns is not recorded."""
    started, go_on = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("stale")
    async def stale(job: Job) -> str:
        started.set()
        await go_on.wait()
        return f"attempt {job.attempt}"

    job_id = await pgq.enqueue("stale")
    running = asyncio.create_task(pgq.run(until_empty=True))
    await asyncio.wait_for(started.wait(), 20)
    # What a rescue does, as if this worker had been silent for too long.
    async with conn.transaction():
        await conn.execute("DELETE FROM pgq_leases")
        await conn.execute(
            "INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at)"
            " VALUES ($1, 1, 'failed', now())",
            job_id,
        )
    go_on.set()
    await asyncio.wait_for(running, 30)
    job = await pgq.queries.get_job(job_id)
    assert (job.state, job.result) == (JobState.FAILED, None)


# -- 2: enqueue is one ordinary INSERT --------------------------------------------------------


async def test_an_insert_in_any_transaction_is_a_job(database: str, pgq: PgQueuer) -> None:
    """Two open transactions of another library enqueue the same new name, neither waits, and one
    that rolls back leaves nothing."""
    insert = "INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('brand new', '{}') RETURNING id"
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        other.execute("SET lock_timeout = '1s'")
        kept = one.execute(insert).fetchone()
        other.execute(insert)
        other.rollback()
        one.commit()
    assert kept is not None
    assert [job.id for job in await pgq.queries.get_jobs()] == [kept[0]]
    assert (await pgq.queries.get_job(kept[0])).state is JobState.READY


# -- 3: the queue stays fast when the database is not -----------------------------------------


async def test_claims_stay_cheap_under_an_old_snapshot(
    pgq: PgQueuer, conn: Any, connect: Connect
) -> None:
    """While a forgotten transaction keeps vacuum from cleaning up, a claim after 20,000 jobs still
    touches few blocks; from the start of the lane it would walk the entries of all of them.
    """
    old = await connect()
    await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await old.fetch("SELECT 1 FROM pgq_jobs")

    @pgq.entrypoint("simple")
    async def simple(job: Job) -> None: ...

    worker = pgq.worker(WorkerOptions(until_empty=True))
    await pgq.queries.enqueue(["simple"] * 20_000)
    await pgq.run_worker(worker)
    await pgq.queries.enqueue(["simple"] * 10)

    (lane,) = worker.lanes.by_id.values()
    await blocks_of_a_claim(conn, lane.id, 0)  # the first call reads the catalogs too
    with_mark = await blocks_of_a_claim(conn, lane.id, lane.start)
    from_the_start = await blocks_of_a_claim(conn, lane.id, 0)
    await old.execute("ROLLBACK")
    assert with_mark < 60
    assert from_the_start > 4 * with_mark


async def test_deferred_jobs_do_not_slow_a_claim(pgq: PgQueuer, conn: Any) -> None:
    """20,000 jobs that are due tomorrow add no block to a claim."""
    (job_id,) = await pgq.queries.enqueue("simple")
    lane = await conn.fetchval("SELECT lane_id FROM pgq_ready WHERE job_id = $1", job_id)
    await blocks_of_a_claim(conn, lane, 0)
    before = await blocks_of_a_claim(conn, lane, 0)
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, run_at)"
        " SELECT 'simple', now() + interval '1 day' FROM generate_series(1, 20000)"
    )
    assert await blocks_of_a_claim(conn, lane, 0) < before + 50


async def blocks_of_a_claim(conn: Any, lane: int, start: int) -> int:
    """How many blocks it touches to claim one job; the claim is taken back."""
    statement = load("claim", "public")
    nothing: dict[str, Any] = dict.fromkeys(statement.names)
    values = nothing | {
        "worker": 1, "token": 1, "count": 1, "lanes": [lane], "starts": [start],
        "ends": [2**63 - 1], "caps": [5], "single": [], "floor_lanes": [], "floors": [],
        "settled": 0, "settle_xid": 0, "force_xid": False, "look": False,
    }  # fmt: skip
    transaction = conn.transaction()
    await transaction.start()
    plan = await conn.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", *statement.bind(values)
    )
    await transaction.rollback()
    found = json.loads(plan)[0]["Plan"]
    return int(found["Shared Hit Blocks"] + found["Shared Read Blocks"])


# -- 4: a dead worker is noticed, a poison job is put away ------------------------------------


async def test_a_dead_worker_is_noticed_at_once(
    database: str, pgq: PgQueuer, handlers: Path
) -> None:
    """The job of a killed worker runs again long before its lease of 15 seconds has ended."""
    (job_id,) = await pgq.queries.enqueue("hang")
    with worker_process(database, "handlers:pgq", handlers) as doomed:
        await eventually(lambda: in_state(pgq, "hang", JobState.RUNNING))
        with worker_process(database, "handlers:pgq", handlers):
            await eventually(lambda: two_workers(pgq), what="the second worker is there")
            killed_at = time.monotonic()
            doomed.send_signal(signal.SIGKILL)
            job = await pgq.queries.wait(job_id, timeout=20)
    assert job.result == 2
    assert time.monotonic() - killed_at < 5  # about 0.3 s on a quiet machine


async def two_workers(pgq: PgQueuer) -> bool:
    return len(await pgq.queries.workers()) == 2


async def test_a_job_that_kills_its_workers_is_put_away(
    database: str, pgq: PgQueuer, handlers: Path
) -> None:
    """After four dead workers the job has failed and says why; its neighbours all succeed."""
    (poison,) = await pgq.queries.enqueue("poison")
    harmless = await pgq.queries.enqueue(["harmless"] * 20)
    for _ in range(4):
        with worker_process(database, "handlers:pgq", handlers) as worker:
            wait_until_gone(worker)
    with worker_process(database, "handlers:pgq", handlers):
        job = await pgq.queries.wait(poison, timeout=20)
        others = [await pgq.queries.wait(id_, timeout=20) for id_ in harmless]
    assert job.state is JobState.FAILED
    assert "killed its worker" in (job.error or {})["message"]
    assert {other.state for other in others} == {JobState.SUCCEEDED}


# -- 5: one transaction -----------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
async def test_effects_and_completion_share_a_transaction(
    pgq: PgQueuer, conn: Any, fails: bool
) -> None:
    """What the handler wrote and the job's outcome are committed together, or neither is."""
    await conn.execute("CREATE TABLE shipped (job_id bigint)")

    @pgq.entrypoint("ship", transactional=True, max_attempts=1)
    async def ship(job: Job, context: Context) -> None:
        async with context.transaction() as connection:
            await connection.execute("INSERT INTO shipped VALUES ($1)", job.id)
            assert not fails

    job_id = await pgq.enqueue("ship")
    await drain(pgq)
    state = (await pgq.queries.get_job(job_id)).state
    shipped = await conn.fetchval("SELECT count(*) FROM shipped")
    expected = (JobState.FAILED, 0) if fails else (JobState.SUCCEEDED, 1)
    assert (state, shipped) == expected
    if not fails:
        made = await conn.fetchval(
            "SELECT a.xmin = s.xmin FROM pgq_attempts AS a, shipped AS s WHERE s.job_id = a.job_id"
        )
        assert made is True


# -- 6: nothing to configure to be safe -------------------------------------------------------


async def test_a_worker_claims_no_more_than_it_can_start(pgq: PgQueuer, conn: Any) -> None:
    """With 1,000 jobs waiting a worker whose ten slots are taken holds ten; 990 are for others."""
    started: list[int] = []
    go_on = asyncio.Event()

    @pgq.entrypoint("slow")
    async def slow(job: Job) -> None:
        started.append(job.id)
        await go_on.wait()

    await pgq.queries.enqueue(["slow"] * 1000)
    running = asyncio.create_task(pgq.run(concurrency=10, until_empty=True))
    await eventually(lambda: after_looks(started, 10), what="ten jobs run")
    held = await conn.fetchval("SELECT sum(cardinality(job_ids)) FROM pgq_leases")
    assert (held, await conn.fetchval("SELECT count(*) FROM pgq_ready")) == (10, 990)
    go_on.set()
    await asyncio.wait_for(running, 60)
    assert len(started) == 1000


async def after_looks(started: list[int], count: int) -> bool:
    """Whether so many have started, and some time for further looks has passed."""
    await asyncio.sleep(0.5 if len(started) >= count else 0)
    return len(started) >= count


async def test_shutdown_is_bounded_and_gives_jobs_back(pgq: PgQueuer) -> None:
    """A job that does not end in time is cancelled and given back; its attempt is not spent."""
    started = asyncio.Event()

    @pgq.entrypoint("hang")
    async def hang(job: Job) -> None:
        started.set()
        await asyncio.sleep(600)

    job_id = await pgq.enqueue("hang")
    running = asyncio.create_task(pgq.run(shutdown_timeout=0.1))
    await asyncio.wait_for(started.wait(), 20)
    pgq.stop()
    await asyncio.wait_for(running, 20)
    assert (await pgq.queries.get_job(job_id)).state is JobState.READY
    (attempt,) = await pgq.queries.get_attempts(job_id)
    assert attempt.outcome == "interrupted"


async def test_history_has_a_retention(pgq: PgQueuer, conn: Any) -> None:
    """Succeeded jobs are kept for seven days, failed ones for thirty, then deleted."""

    @pgq.entrypoint("maybe", max_attempts=1)
    async def maybe(job: Job) -> None:
        assert job.payload == b"good"

    good, bad = await pgq.queries.enqueue(["maybe"] * 2, [b"good", b"bad"])
    await drain(pgq)
    for days, left in ((6, {good, bad}), (2, {bad}), (23, set())):
        await conn.execute(
            "UPDATE pgq_attempts SET finished_at = finished_at - $1 * interval '1 day'", days
        )
        await pgq.queries.prune()
        assert {job.id for job in await pgq.queries.get_jobs()} == left
