"""Rescue: the jobs of dead workers come back, finished ones never do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO, Taken

Connect = Callable[..., Awaitable[Any]]

EPOCH_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('pgq epoch public', 0))"
SESSION_LOCK = "SELECT pg_advisory_lock(pgq_worker_key($1))"


async def claimed(on: Any, count: int = 1, *, worker: int = 1, **fields: Any) -> list[Taken]:
    """New jobs that this worker runs."""
    await verbs.enqueue(on, count=count, **fields)
    return (await verbs.claim(on, count, worker=worker)).jobs


async def beat(on: Any, worker: int, *, locked: bool, relocked: bool = False) -> float | None:
    """The worker says that it lives."""
    rows = await verbs.call(
        on, "beat", worker=worker, name="worker", lease=15.0, info="{}", stalled=0.0, running=0,
        listener="listening", locked=locked, relocked=relocked,
    )  # fmt: skip
    age: float | None = rows[0]["age"]
    return age


# -- who is dead ------------------------------------------------------------------------------


async def test_a_silent_worker_is_dead(conn: Any) -> None:
    """A worker whose last beat is older than its lease time is dead, and its jobs come back."""
    worker = await verbs.register(conn)
    (taken,) = await claimed(conn, worker=worker)
    await verbs.silence(conn, worker)
    assert (await verbs.look(conn, worker=99))["stale"] == [worker]
    assert await verbs.rescue(conn, worker) == {taken.job_id: "lost"}
    assert await verbs.state(conn, taken.job_id) == "ready"
    assert await verbs.outcomes(conn, taken.job_id) == [(1, "lost")]
    assert await verbs.count(conn, "pgq_leases") == 0
    assert await verbs.count(conn, "pgq_workers") == 0


async def test_a_beating_worker_lives(conn: Any) -> None:
    """A worker that beats is not rescued, whoever asks for it."""
    worker = await verbs.register(conn)
    (taken,) = await claimed(conn, worker=worker)
    look = await verbs.look(conn, worker=99)
    assert (look["gone"], look["stale"]) == (None, None)
    assert await verbs.rescue(conn, worker) == {}
    assert await verbs.state(conn, taken.job_id) == "running"
    assert await verbs.finish(conn, taken) == {}


async def test_a_free_lock_is_a_death(conn: Any, connect: Connect) -> None:
    """A worker whose session lock is free is dead at once, however fresh its beat is."""
    await verbs.look(conn)
    worker = await verbs.register(conn)
    its_own = await connect()
    await its_own.execute(SESSION_LOCK, worker)
    await beat(its_own, worker, locked=True)
    (taken,) = await claimed(conn, worker=worker)
    assert (await verbs.look(conn, worker=99))["gone"] is None
    assert await verbs.rescue(conn, worker) == {}
    await its_own.close()
    assert (await verbs.look(conn, worker=99))["gone"] == [worker]
    assert await verbs.rescue(conn, worker) == {taken.job_id: "lost"}


async def test_a_worker_does_not_find_itself_dead(conn: Any) -> None:
    """A look never reports the worker that looks."""
    worker = await verbs.register(conn)
    await verbs.silence(conn, worker)
    look = await verbs.look(conn, worker=worker)
    assert (look["gone"], look["stale"]) == (None, None)


async def test_without_a_lock_only_beats_count(conn: Any) -> None:
    """Behind a pooler a worker has no session lock: it is dead only when its beats stop."""
    await verbs.look(conn)
    worker = await verbs.register(conn)
    await beat(conn, worker, locked=False)
    await claimed(conn, worker=worker)
    assert (await verbs.look(conn, worker=99))["gone"] is None
    assert await verbs.rescue(conn, worker) == {}


async def test_a_lock_from_before_the_epoch_does_not_count(conn: Any) -> None:
    """After a server restart every lock is free: one taken before it says nothing about life."""
    worker = await verbs.register(conn)
    await beat(conn, worker, locked=True)
    await claimed(conn, worker=worker)
    await conn.execute("TRUNCATE pgq_epoch")
    look = await verbs.look(conn, worker=99)
    assert (look["gone"], look["stale"]) == (None, None)
    assert await verbs.rescue(conn, worker) == {}


async def test_a_lock_taken_again_counts(conn: Any) -> None:
    """A worker that has taken its lock again after a restart can be found dead by it again."""
    worker = await verbs.register(conn)
    await beat(conn, worker, locked=True)
    await conn.execute("TRUNCATE pgq_epoch")
    await verbs.look(conn, worker=99)
    await beat(conn, worker, locked=True)
    assert (await verbs.look(conn, worker=99))["gone"] is None
    await beat(conn, worker, locked=True, relocked=True)
    assert (await verbs.look(conn, worker=99))["gone"] == [worker]


async def test_a_lease_without_a_worker_is_nobodys(conn: Any) -> None:
    """A lease whose worker has no row any more is found and its jobs come back."""
    (taken,) = await claimed(conn, worker=7)
    assert [row["worker_id"] for row in await verbs.call(conn, "orphans")] == [7]
    assert await verbs.rescue(conn, 7) == {taken.job_id: "lost"}
    assert await verbs.call(conn, "orphans") == []


async def test_one_of_two_is_dead(conn: Any) -> None:
    """Of two workers that are asked for, only the dead one loses its jobs."""
    alive, dead = await verbs.register(conn), await verbs.register(conn)
    (kept,) = await claimed(conn, worker=alive)
    (lost,) = await claimed(conn, worker=dead)
    await verbs.silence(conn, dead)
    assert await verbs.rescue(conn, alive, dead) == {lost.job_id: "lost"}
    assert await verbs.state(conn, kept.job_id) == "running"
    rows = await verbs.call(conn, "workers")
    assert [row["worker_id"] for row in rows] == [alive]


async def test_the_first_beat_after_a_rescue_says_so(conn: Any) -> None:
    """A worker that was taken for dead learns from its next beat that its row was gone."""
    worker = await verbs.register(conn)
    assert await beat(conn, worker, locked=False) is not None
    await verbs.silence(conn, worker)
    age = await beat(conn, worker, locked=False)
    assert age is not None
    assert age > 3000
    await verbs.silence(conn, worker)
    await verbs.rescue(conn, worker)
    assert await beat(conn, worker, locked=False) is None
    assert await verbs.count(conn, "pgq_workers") == 1


async def test_a_worker_that_leaves_with_leases_stays_listed(conn: Any) -> None:
    """A worker may sign off only when it holds nothing: else rescue would not find its jobs."""
    worker = await verbs.register(conn)
    (taken,) = await claimed(conn, worker=worker)
    await verbs.call(conn, "unregister_worker", worker=worker)
    assert await verbs.count(conn, "pgq_workers") == 1
    await verbs.finish(conn, taken)
    await verbs.call(conn, "unregister_worker", worker=worker)
    assert await verbs.count(conn, "pgq_workers") == 0


# -- crashes ----------------------------------------------------------------------------------


async def test_a_job_that_kills_its_workers_is_quarantined(conn: Any) -> None:
    """The first crash requeues, from the second on a job runs alone, after the fourth it failed."""
    (job,) = await verbs.enqueue(conn, unique_keys="key")
    plain, again, alone = [
        await verbs.lane(conn, kind=kind) for kind in ("plain", "again", "alone")
    ]
    for crash, lane in ((1, again), (2, alone), (3, alone)):
        of = [plain] if crash == 1 else [plain, again, alone]
        (taken,) = (await verbs.claim(conn, of=of)).jobs
        assert (taken.attempt, taken.crashes) == (crash, crash - 1)
        assert await verbs.rescue(conn, 1) == {job: "lost"}
        found = await verbs.pointer(conn, job)
        assert found is not None
        assert (found["lane_id"], found["crashes"], found["attempt"]) == (lane, crash, crash)
        assert await verbs.held_keys(conn) == {"key": job}
    assert (await verbs.look(conn))["alone"]
    (taken,) = (await verbs.claim(conn, of=[alone])).jobs
    assert await verbs.rescue(conn, 1) == {job: "failed"}
    found_job = await verbs.queries(conn).get_job(job)
    assert found_job.state.value == "failed"
    assert found_job.error is not None
    assert "killed its worker" in found_job.error["message"]
    assert await verbs.held_keys(conn) == {}
    assert await verbs.pointer(conn, job) is None
    assert not (await verbs.look(conn))["alone"]


async def test_the_lane_of_suspects_is_listed(conn: Any) -> None:
    """The lane in which a suspect waits stands in the directory, once."""
    taken = await claimed(conn, 2)
    for _ in range(2):
        await verbs.rescue(conn, 1)
        taken = (await verbs.claim(conn)).jobs
    await verbs.rescue(conn, 1)
    assert len(taken) == 2
    rows = await verbs.call(conn, "lanes", entrypoints=["work"])
    assert sorted(row["kind"] for row in rows) == ["again", "alone", "plain"]
    assert await verbs.count(conn, "pgq_lanes") == 3


async def test_crashes_spend_no_attempt(conn: Any) -> None:
    """A lost worker spends nothing of a job's attempts; what was spent before stays spent."""
    (taken,) = await claimed(conn)
    await verbs.finish(conn, taken, "retry", spent=3)
    await verbs.claim(conn)
    await verbs.rescue(conn, 1)
    found = await verbs.pointer(conn, taken.job_id)
    assert found is not None
    assert (found["spent"], found["crashes"], found["attempt"]) == (3, 1, 2)


@pytest.mark.parametrize("own", [True, False], ids=["the job's", "the entrypoint's"])
async def test_at_most_once_is_over(conn: Any, own: bool) -> None:
    """A started job with max_attempts=1 fails when its worker dies, and is never requeued."""
    await verbs.enqueue(conn, max_attempts=1 if own else None, unique_keys="key")
    (taken,) = (await verbs.claim(conn, cap=5 if own else 1)).jobs
    assert await verbs.rescue(conn, 1) == {taken.job_id: "failed"}
    job = await verbs.queries(conn).get_job(taken.job_id)
    assert job.error is not None
    assert "only once" in job.error["message"]
    assert (await verbs.pointer(conn, taken.job_id), await verbs.held_keys(conn)) == (None, {})


async def test_a_wish_to_cancel_is_granted(conn: Any) -> None:
    """A job whose cancellation was asked for does not come back from its dead worker."""
    (taken,) = await claimed(conn, unique_keys="key")
    await verbs.cancel(conn, taken.job_id)
    assert await verbs.rescue(conn, 1) == {taken.job_id: "cancelled"}
    assert await verbs.held_keys(conn) == {}


async def test_a_missing_body_does_not_stop_the_others(conn: Any) -> None:
    """A lost job whose body was deleted by hand does not keep its neighbours from coming back."""
    gone, kept = await claimed(conn, 2)
    await conn.execute("DELETE FROM pgq_jobs WHERE id = $1", gone.job_id)
    await verbs.rescue(conn, 1)
    assert await verbs.states(conn) == {kept.job_id: "ready"}
    assert await verbs.count(conn, "pgq_ready") == 1


# -- against finish ---------------------------------------------------------------------------


async def test_finished_jobs_are_not_run_again(conn: Any) -> None:
    """Of a dead worker's batch only the jobs without an outcome come back."""
    done, waiting, lost = await claimed(conn, 3)
    await verbs.finish(conn, done, shut=False)
    await verbs.finish(conn, waiting, "retry", delay=60, shut=False)
    assert await verbs.rescue(conn, 1) == {lost.job_id: "lost"}
    assert await verbs.states(conn) == {
        done.job_id: "succeeded", waiting.job_id: "deferred", lost.job_id: "ready",
    }  # fmt: skip


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
@pytest.mark.parametrize("outcome", ["succeeded", "retry", "cancelled"])
@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_a_dead_workers_flush_in_flight(
    conn: Any, connect: Connect, shut: bool, outcome: str, end: str
) -> None:
    """While a dead worker's last flush is still committing, rescue leaves its lease alone."""
    other = await connect()
    await verbs.impatient(other)
    worker = await verbs.register(conn)
    (taken,) = await claimed(conn, worker=worker)
    await verbs.silence(conn, worker)
    async with verbs.held(conn, end=end):
        assert await verbs.finish(conn, taken, outcome, delay=60, shut=shut) == {}
        assert await verbs.rescue(other, worker) == {}
        assert await verbs.count(other, "pgq_workers") == 1
    again = {} if end == KEEP else {taken.job_id: "lost"}
    assert await verbs.rescue(other, worker) == again
    state = {"succeeded": "succeeded", "retry": "deferred", "cancelled": "cancelled"}[outcome]
    assert await verbs.state(conn, taken.job_id) == (state if end == KEEP else "ready")
    assert len(await verbs.outcomes(conn, taken.job_id)) == 1
    assert await verbs.count(conn, "pgq_leases") == 0
    assert await verbs.count(conn, "pgq_workers") == 0


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_a_rescue_in_flight(conn: Any, connect: Connect, shut: bool, end: str) -> None:
    """While a rescue is committing, the late worker is told to wait, then refused or accepted."""
    other = await connect()
    await verbs.impatient(other)
    (taken,) = await claimed(conn)
    async with verbs.held(conn, end=end):
        assert await verbs.rescue(conn, 1) == {taken.job_id: "lost"}
        assert await verbs.finish(other, taken, shut=shut) == {taken.job_id: "busy"}
    expected = {taken.job_id: "gone"} if end == KEEP else {}
    assert await verbs.finish(other, taken, shut=shut) == expected
    assert await verbs.state(conn, taken.job_id) == ("ready" if end == KEEP else "succeeded")


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "retry"])
async def test_outcomes_written_while_rescue_waits(
    conn: Any, connect: Connect, outcome: str
) -> None:
    """Outcomes that commit after rescue began, before it has the leases, are seen by it."""
    gate, late, observer = await connect(), await connect(), await connect()
    worker = await verbs.register(conn)
    done, lost = await claimed(conn, 2, worker=worker)
    # Dead by its lock, so that rescue asks for the epoch, which somebody is just beginning.
    await conn.execute("UPDATE pgq_workers SET locked_at = now() + interval '1 hour'")
    await conn.execute("TRUNCATE pgq_epoch")
    async with verbs.held(gate):
        await gate.fetchval(EPOCH_LOCK)
        # Its first statement has a snapshot and waits; no lease is locked yet.
        async with verbs.waiting(observer, conn, verbs.rescue(conn, worker)) as rescue:
            assert await verbs.finish(late, done, outcome, delay=60, shut=False) == {}
            await gate.execute(KEEP)
    assert await rescue == {lost.job_id: "lost"}
    assert await verbs.outcomes(conn, done.job_id) == [(1, outcome)]


async def test_a_flush_between_the_two_statements(conn: Any, connect: Connect) -> None:
    """Once rescue has the leases nothing is written under them, though it is not done yet."""
    gate, late, observer = await connect(), await connect(), await connect()
    (taken,) = await claimed(conn)
    await verbs.impatient(late)
    async with verbs.held(gate):
        await gate.execute("LOCK TABLE pgq_lanes IN ACCESS EXCLUSIVE MODE")
        # Its second statement wants the lanes; by then the leases are locked.
        async with verbs.waiting(observer, conn, verbs.rescue(conn, 1)) as rescue:
            for shut in (True, False):
                assert await verbs.finish(late, taken, shut=shut) == {taken.job_id: "busy"}
            await gate.execute(KEEP)
    assert await rescue == {taken.job_id: "lost"}
    assert await verbs.finish(late, taken) == {taken.job_id: "gone"}
    assert await verbs.state(conn, taken.job_id) == "ready"


async def test_a_handlers_open_transaction_blocks_its_own_lease_only(
    conn: Any, connect: Connect
) -> None:
    """A job being completed in its handler's transaction is left; its dead neighbours come back."""
    other = await connect()
    await verbs.enqueue(conn, count=2)
    single = [await verbs.lane(conn)]
    first, second = (await verbs.claim(conn, single=single)).jobs
    async with verbs.held(conn):
        await verbs.finish(conn, first)
        assert await verbs.rescue(other, 1) == {second.job_id: "lost"}
    assert await verbs.states(other) == {first.job_id: "succeeded", second.job_id: "ready"}


# -- two at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_two_rescuers(conn: Any, connect: Connect, end: str) -> None:
    """Two rescuers at once never wait for each other, and give every job back once."""
    other = await connect()
    await verbs.impatient(other)
    worker = await verbs.register(conn)
    taken = await claimed(conn, 3, worker=worker)
    lost = dict.fromkeys((job.job_id for job in taken), "lost")
    await verbs.silence(conn, worker)
    async with verbs.held(conn, end=end):
        assert await verbs.rescue(conn, worker) == lost
        assert await verbs.rescue(other, worker) == {}
    assert await verbs.rescue(other, worker) == ({} if end == KEEP else lost)
    assert await verbs.count(conn, "pgq_ready") == 3
    assert await verbs.count(conn, "pgq_attempts") == 3
    assert await verbs.count(conn, "pgq_workers") == 0


async def test_a_rescue_without_work(conn: Any) -> None:
    """Rescuing a dead worker that held nothing just removes it."""
    worker = await verbs.register(conn)
    await verbs.silence(conn, worker)
    assert await verbs.rescue(conn, worker) == {}
    assert await verbs.count(conn, "pgq_workers") == 0
    assert await verbs.rescue(conn) == {}
