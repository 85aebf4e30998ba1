"""Processes that die, hang, or are taken for dead, each worker a process of its own."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.maintenance import Orphans
from pgq_core.queries import Queries
from tests.support import eventually, until
from tests.worker.harness import Connection, Processes, finished, in_state, outcomes, working

pytestmark = pytest.mark.timeout(90)
RECOVERED = 3.0  # about one second on a quiet machine


async def test_killed_worker_is_replaced(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """After a SIGKILL its jobs start again elsewhere within about a second; none is lost."""
    first = processes.spawn(concurrency=8)
    await processes.ready(conn, 1)
    ids = await queries.enqueue(["nap"] * 8, [{"seconds": 60, "again": 0}] * 8)
    await processes.log.soon("start", count=8)
    processes.spawn(concurrency=8)
    await processes.ready(conn, 2)
    killed = time.time()
    processes.kill(first)
    assert await finished(conn, *ids) == ["succeeded"] * 8
    again = [line for line in processes.log.lines("start") if line.attempt == 2]
    assert sorted(line.job for line in again) == ids
    assert max(line.at for line in again) - killed < RECOVERED
    assert await outcomes(conn, ids[0]) == ["lost", "succeeded"]
    assert processes.log.started_twice() == []
    assert len(await queries.workers()) == 1


async def test_finished_jobs_of_a_killed_worker_stay_finished(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """Only what was running is started again: outcomes written before the kill count."""
    first = processes.spawn(concurrency=10)
    await processes.ready(conn, 1)
    quick = await queries.enqueue(["nap"] * 9)
    slow = (await queries.enqueue("nap", {"seconds": 30}, max_attempts=1))[0]
    await finished(conn, *quick)
    await processes.log.soon("start", slow)
    processes.kill(first)
    processes.spawn()
    assert await finished(conn, slow) == ["failed"]  # it may start only once
    job = await queries.get_job(slow)
    assert job.error is not None
    assert "may start only once" in job.error["message"]
    assert len(processes.log.lines("start")) == 10
    assert await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 10


async def test_process_that_exits_inside_a_handler(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A handler that calls `os._exit` counts as a lost worker; its job gets three more chances."""
    id_ = (await queries.enqueue("leave"))[0]
    for n in range(1, 5):
        process = processes.spawn()
        await processes.log.soon("start", id_, n)
        assert await asyncio.to_thread(process.wait, 20) == 3
    processes.spawn()
    assert await finished(conn, id_) == ["failed"]
    assert await outcomes(conn, id_) == ["lost", "lost", "lost", "failed"]
    job = await queries.get_job(id_)
    assert job.error is not None
    assert "killed its worker" in job.error["message"]


async def test_poison_job_is_quarantined(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A job that kills its workers is failed after four deaths at most; its neighbours succeed."""
    neighbours = await queries.enqueue(["nap"] * 30, [{"seconds": 0.05}] * 30)
    poison = (await queries.enqueue("poison", {"seconds": 0.02}))[0]
    neighbours += await queries.enqueue(["nap"] * 30, [{"seconds": 0.05}] * 30)
    deaths = 0
    living = [processes.spawn(concurrency=10) for _ in range(2)]

    async def done() -> bool:
        nonlocal deaths
        for n, process in enumerate(living):
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL
                deaths += 1
                living[n] = processes.spawn(concurrency=10)
        left = await conn.fetchval(
            "SELECT count(*) FROM pgq_job_states "
            "WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
        )
        return bool(left == 0)

    await eventually(done, patience=60)
    assert deaths <= 4
    assert await outcomes(conn, poison) == ["lost", "lost", "lost", "failed"]
    assert await finished(conn, *neighbours) == ["succeeded"] * 60
    assert processes.log.started_twice() == []
    # One that had ended when its worker died, its outcome not yet written, runs again; it counts once.
    written = "SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'"
    assert await conn.fetchval(written) == 60


async def test_stopped_process_is_fenced(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A process that slept past its lease is refused when it wakes, and then goes on working."""
    sleeper = processes.spawn(lease=1.0, listen=False)
    await until_registered(conn, 1)
    ids = await queries.enqueue(["nap", "deaf", "once"], [{"seconds": 1.0}] * 3)
    await processes.log.soon("start", count=3)
    sleeper.send_signal(signal.SIGSTOP)
    other = processes.spawn(lease=1.0)
    assert await finished(conn, *ids) == ["succeeded", "succeeded", "failed"]
    before = await conn.fetch("SELECT * FROM pgq_attempts ORDER BY job_id, attempt")
    sleeper.send_signal(signal.SIGCONT)
    await processes.log.soon("end", ids[1], count=2)  # the thread could not be stopped
    assert await asyncio.to_thread(processes.stop, other) == 0
    later = (await queries.enqueue("nap"))[0]
    assert await finished(conn, later) == ["succeeded"]
    assert processes.log.first("end", later).pid == sleeper.pid
    assert await asyncio.to_thread(processes.stop, sleeper) == 0
    after = await conn.fetch(
        "SELECT * FROM pgq_attempts WHERE job_id <> $1 ORDER BY job_id, attempt", later
    )
    assert after == before
    assert await outcomes(conn, ids[1]) == ["lost", "succeeded"]
    assert "lease" in processes.stderr(sleeper)
    assert await queries.workers() == []


async def until_registered(connection: Connection, count: int) -> None:
    async def registered() -> bool:
        return bool(await connection.fetchval("SELECT count(*) = $1 FROM pgq_workers", count))

    await eventually(registered)


async def test_stopped_process_keeps_its_jobs_within_the_lease(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A process that hangs for less than its lease keeps its jobs."""
    sleeper = processes.spawn(lease=6.0)
    await processes.ready(conn, 1)
    id_ = (await queries.enqueue("nap", {"seconds": 1.5}))[0]
    await processes.log.soon("start", id_)
    sleeper.send_signal(signal.SIGSTOP)
    processes.spawn(lease=6.0)
    await processes.ready(conn, 2)
    await asyncio.sleep(1.5)  # looks of the other worker, which must change nothing
    sleeper.send_signal(signal.SIGCONT)
    assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["succeeded"]


async def test_blocked_loop_is_stalled_and_not_dead(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A handler that blocks the loop past its lease keeps the job: warned about, not run twice."""
    blocker = processes.spawn(lease=1.0)
    await processes.ready(conn, 1)
    ids = await queries.enqueue(["nap", "block"], [{"seconds": 0.2}, {"seconds": 3.0}])
    await processes.log.soon("start", count=2)
    processes.spawn(lease=1.0)

    async def stalled() -> bool:
        return any(worker["stalled_seconds"] > 1 for worker in await queries.workers())

    await eventually(stalled, what="the worker says that it is stalled")
    assert await finished(conn, *ids) == ["succeeded", "succeeded"]
    assert await outcomes(conn, ids[0]) == ["succeeded"]
    assert await outcomes(conn, ids[1]) == ["succeeded"]
    assert len(processes.log.lines("start")) == 2
    assert "event loop has been blocked" in processes.stderr(blocker)


async def test_terminated_process_gives_back(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """SIGTERM lets jobs finish up to `shutdown_timeout`, then gives them back for nothing."""
    process = processes.spawn(shutdown_timeout=0.5)
    await processes.ready(conn, 1)
    ids = await queries.enqueue(
        ["nap", "nap", "thread"], [{"seconds": 0.2}, {"seconds": 30}, {"seconds": 30}]
    )
    await processes.log.soon("start", count=3)
    assert await asyncio.to_thread(processes.stop, process) == 0
    assert await finished(conn, ids[0]) == ["succeeded"]
    await in_state(conn, ids[1], "ready")
    await in_state(conn, ids[2], "ready")
    assert await conn.fetch("SELECT spent, crashes FROM pgq_ready") == [(0, 0), (0, 0)]
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 0
    assert await queries.workers() == []


async def test_suspect_of_somebody_else_stops_nobody(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """A busy worker does not drain for a suspect whose entrypoint it does not serve."""
    id_ = await conn.fetchval("INSERT INTO pgq_jobs (entrypoint) VALUES ('foreign') RETURNING id")
    await conn.execute(
        "WITH lane AS (INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint) "
        "SELECT pgq_lane_id('default', 'foreign', 5, 'alone'), 5, 'alone', 'default', 'foreign') "
        "UPDATE pgq_ready SET lane_id = pgq_lane_id('default', 'foreign', 5, 'alone'), crashes = 2 "
        "WHERE job_id = $1", id_,
    )  # fmt: skip
    processes.spawn({"pgq_core.worker.suspects.PATIENCE": 0.3}, concurrency=2)
    long = (await queries.enqueue("nap", {"seconds": 4}))[0]
    await processes.log.soon("start", long)
    end = time.monotonic() + 3
    while time.monotonic() < end:  # past the patience for a suspect of its own
        quick = (await queries.enqueue("nap"))[0]
        began = time.monotonic()
        await finished(conn, quick)
        assert time.monotonic() - began < 2
        await asyncio.sleep(0.2)


async def test_suspect_runs_alone(processes: Processes, queries: Queries, conn: Connection) -> None:
    """A job that has seen two crashes runs with nothing beside it, then the others go on."""
    suspect = (await queries.enqueue("nap", {"seconds": 0.5}))[0]
    await conn.execute(
        "WITH lane AS (INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint) "
        "SELECT pgq_lane_id('default', 'nap', 5, 'alone'), 5, 'alone', 'default', 'nap') "
        "UPDATE pgq_ready SET lane_id = pgq_lane_id('default', 'nap', 5, 'alone'), crashes = 2"
    )
    processes.spawn()
    await processes.log.soon("start", suspect)
    others = await queries.enqueue(["nap"] * 20)
    await finished(conn, suspect, *others)
    lines = processes.log.lines()
    first = [line.event for line in lines if line.job == suspect or line.at <= lines[1].at]
    assert first == ["start", "end"]
    assert {line.job for line in lines[2:]} == set(others)


async def test_suspects_take_turns_with_jobs_under_keys(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """However many jobs wait to run alone, those with a concurrency key go on between them."""
    suspects = await queries.enqueue(["nap"] * 4, [{"seconds": 1}] * 4)
    await conn.execute(
        "WITH lane AS (INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint) "
        "SELECT pgq_lane_id('default', 'nap', 5, 'alone'), 5, 'alone', 'default', 'nap') "
        "UPDATE pgq_ready SET lane_id = pgq_lane_id('default', 'nap', 5, 'alone'), crashes = 2"
    )
    processes.spawn()
    await processes.log.soon("start", suspects[0])
    keyed = await queries.enqueue("nap", concurrency_keys="key")
    await finished(conn, *suspects, *keyed)
    started = [line.job for line in processes.log.lines("start")]
    assert started.index(keyed[0]) < len(suspects)


def test_lines_are_whole(processes: Processes) -> None:
    """The log that these tests trust has only whole lines."""
    assert until(lambda: processes.log.lines() == [])


ORPHAN = """
WITH gone AS (DELETE FROM pgq_ready RETURNING job_id)
INSERT INTO pgq_leases (
    worker_id, lease_id, token, claimed_at, job_ids, attempts, spent, crashes, caps
)
SELECT 999, 999, 1, clock_timestamp(), ARRAY[g.job_id], '{1}', '{1}', '{0}', '{5}' FROM gone AS g
"""


async def test_what_a_worker_without_a_row_held_begins_again(
    pgq: PgQueuer, conn: Connection
) -> None:
    """Jobs claimed by a worker that was already taken for dead begin again within about two lease
    times, though nothing else of it is left."""
    id_ = await pgq.enqueue("work")
    await conn.execute(ORPHAN)

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        pass

    async with working(pgq, lease=1.0):
        assert await finished(conn, id_) == ["succeeded"]
    assert await outcomes(conn, id_) == ["lost", "succeeded"]
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 0


async def test_a_worker_that_beats_again_keeps_its_jobs(pgq: PgQueuer, conn: Connection) -> None:
    """A worker whose row is made anew between two looks is no orphan: it keeps what it holds."""
    await pgq.enqueue("work")
    await conn.execute(ORPHAN)
    orphans = Orphans(pgq.queries, 1.0)
    await orphans.once()
    await conn.execute(
        "INSERT INTO pgq_workers (worker_id, name, lease_seconds) VALUES (999, 'back', 60)"
    )
    await orphans.once()
    await conn.execute("DELETE FROM pgq_workers WHERE worker_id = 999")
    await orphans.once()  # gone anew, seen for the first time
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 1
    await orphans.once()
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 0
    assert await conn.fetchval("SELECT count(*) FROM pgq_ready") == 1
