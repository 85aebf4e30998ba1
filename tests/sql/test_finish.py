"""Finish: an outcome counts only while its lease stands, and only once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from tests.sql import hands, verbs
from tests.sql.verbs import KEEP, UNDO, Taken

Connect = Callable[..., Awaitable[Any]]
OUTCOMES = ["succeeded", "failed", "retry", "snooze", "interrupted", "cancelled"]
LAST = ["succeeded", "failed", "cancelled"]


@pytest.fixture
async def taken(conn: Any) -> Taken:
    """A keyed job that worker 1 runs."""
    await verbs.enqueue(conn, unique_keys="key")
    return (await verbs.claim(conn)).jobs[0]


async def everything(on: Any) -> list[Any]:
    """All that an outcome could change."""
    rows = []
    for table in ("attempts", "ready", "deferred", "leases", "locks", "cancels"):
        rows += await on.fetch(f"SELECT '{table}', t::text FROM pgq_{table} AS t ORDER BY 2")
    return [tuple(row) for row in rows]


async def lose(on: Any, worker: int = 1) -> None:
    """Rescue takes everything this worker holds (it has no row: nobody's)."""
    assert await verbs.rescue(on, worker)


# -- what an outcome does ---------------------------------------------------------------------


async def test_success_keeps_the_result(conn: Any, taken: Taken) -> None:
    """A job that succeeded is finished, and its result can be read."""
    assert await verbs.finish(conn, taken, result='{"answer": 42}') == {}
    job = await verbs.queries(conn).get_job(taken.job_id)
    assert (job.state.value, job.attempt, job.result) == ("succeeded", 1, {"answer": 42})
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.started_at < job.finished_at
    assert await verbs.count(conn, "pgq_leases") == 0


async def test_failure_keeps_error_and_payload(conn: Any, taken: Taken) -> None:
    """A job that failed keeps its error and its payload."""
    await verbs.finish(conn, taken, "failed", error='{"type": "E", "message": "no"}')
    job = await verbs.queries(conn).get_job(taken.job_id)
    assert (job.state.value, job.error) == ("failed", {"type": "E", "message": "no"})


@pytest.mark.parametrize(("delay", "place"), [(0.0, "ready"), (60.0, "deferred")])
@pytest.mark.parametrize("outcome", ["retry", "snooze", "interrupted"])
async def test_a_job_goes_back(
    conn: Any, taken: Taken, outcome: str, delay: float, place: str
) -> None:
    """A job that goes back waits in its lane, with attempt, spent and crashes carried on; one that
    was interrupted and may start now in the lane before it."""
    await verbs.finish(conn, taken, outcome, delay=delay, spent=2, crashes=1)
    found = await verbs.pointer(conn, taken.job_id)
    assert found is not None
    again = await verbs.lane(conn, kind="again")
    lane = again if (outcome, place) == ("interrupted", "ready") else taken.lane_id
    assert (found["place"], found["lane_id"]) == (place, lane)
    assert (found["attempt"], found["spent"], found["crashes"]) == (1, 2, 1)
    assert await verbs.state(conn, taken.job_id) == place
    assert await verbs.outcomes(conn, taken.job_id) == [(1, outcome)]


async def test_interrupted_jobs_go_first(conn: Any) -> None:
    """What a shutdown interrupted starts again before anything of its priority that has not."""
    ids = await verbs.enqueue(conn, count=6)
    urgent = await verbs.enqueue(conn, "urgent", priorities=0)
    first, second = (await verbs.claim(conn, 2, of=[await verbs.lane(conn)])).jobs
    await verbs.finish(conn, [first, second], "interrupted")
    hand = await hands.hand(conn)
    assert sorted(await hand.claim(3)) == [*ids[:2], *urgent]
    lanes = await conn.fetch("SELECT DISTINCT lane_id FROM pgq_lanes WHERE kind = 'again'")
    assert [row["lane_id"] for row in lanes] == [await verbs.lane(conn, kind="again")]
    await hand.finish("interrupted")
    await hand.directory()  # the urgent one has a lane of that kind by now, too
    assert sorted(await hand.claim(3)) == [*ids[:2], *urgent]


async def test_interrupted_jobs_under_limits_keep_their_lane(conn: Any) -> None:
    """Keyed jobs, and those of an entrypoint with a limit, go back to the lane they came from."""
    await conn.execute("INSERT INTO pgq_limits (entrypoint, concurrency) VALUES ('limited', 5)")
    await verbs.enqueue(conn, "limited")
    await verbs.enqueue(conn, "keyed", concurrency_keys="k")
    for entrypoint, kind in (("limited", "plain"), ("keyed", "keyed")):
        lane = await verbs.lane(conn, entrypoint, kind=kind)
        (taken,) = (await verbs.claim(conn, of=[lane])).jobs
        await verbs.finish(conn, taken, "interrupted")
        assert ((await verbs.pointer(conn, taken.job_id)) or {})["lane_id"] == lane


async def test_a_delay_counts_from_now(conn: Any, taken: Taken) -> None:
    """A retry's delay counts from the moment its outcome is written."""
    await verbs.finish(conn, taken, "retry", delay=100.0)
    left = await conn.fetchval(
        "SELECT extract(epoch FROM run_at - clock_timestamp()) FROM pgq_deferred"
    )
    assert 0 < left <= 100


async def test_attempts_count_on(conn: Any, taken: Taken) -> None:
    """Every start has a number of its own: 1, 2, 3."""
    await verbs.finish(conn, taken, "retry")
    for attempt, outcome in ((2, "snooze"), (3, "succeeded")):
        (again,) = (await verbs.claim(conn)).jobs
        assert again.attempt == attempt
        await verbs.finish(conn, again, outcome)
    assert await verbs.outcomes(conn, taken.job_id) == [
        (1, "retry"), (2, "snooze"), (3, "succeeded"),
    ]  # fmt: skip


async def test_a_batch_of_mixed_outcomes(conn: Any) -> None:
    """One flush writes different outcomes of jobs from different leases."""
    await verbs.enqueue(conn, count=4)
    jobs = (await verbs.claim(conn, 2)).jobs + (await verbs.claim(conn, 2)).jobs
    outcomes = ["succeeded", "failed", "retry", "retry"]
    refused = await verbs.finish(
        conn, jobs, outcomes=outcomes, delays=[0.0, 0.0, 0.0, 60.0], requeue=True
    )
    assert refused == {}
    assert list((await verbs.states(conn, [job.job_id for job in jobs])).values()) == [
        "succeeded", "failed", "ready", "deferred",
    ]  # fmt: skip


async def test_an_open_lease_stays(conn: Any) -> None:
    """A lease stands until its last job has an outcome; the others keep running."""
    ids = await verbs.enqueue(conn, count=3)
    first, second, third = (await verbs.claim(conn)).jobs
    assert await verbs.finish(conn, first, shut=False) == {}
    assert await verbs.finish(conn, second, "retry", delay=60, shut=False) == {}
    assert list((await verbs.states(conn, ids)).values()) == ["succeeded", "deferred", "running"]
    assert await verbs.finish(conn, third) == {}
    assert await verbs.count(conn, "pgq_leases") == 0


async def test_an_attempt_that_never_started(conn: Any, taken: Taken) -> None:
    """A job given back without having been started has no start in its history."""
    await verbs.finish(conn, taken, "interrupted", started=[-1.0])
    (attempt,) = await verbs.queries(conn).get_attempts(taken.job_id)
    assert (attempt.outcome, attempt.started_at) == ("interrupted", None)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_the_key_is_free_at_the_end_only(conn: Any, taken: Taken, outcome: str) -> None:
    """A unique key is released by a last outcome, and kept over retry, snooze and interruption."""
    await verbs.finish(conn, taken, outcome)
    expected = {} if outcome in LAST else {"key": taken.job_id}
    assert await verbs.held_keys(conn) == expected


@pytest.mark.parametrize("outcome", ["retry", "snooze", "interrupted"])
async def test_a_wish_to_cancel_ends_a_job_that_would_go_back(
    conn: Any, taken: Taken, outcome: str
) -> None:
    """A job whose cancellation was asked for while it ran does not go back: it is cancelled."""
    assert await verbs.cancel(conn, taken.job_id) == {taken.job_id: "requested"}
    await verbs.finish(conn, taken, outcome, delay=60.0)
    assert await verbs.outcomes(conn, taken.job_id) == [(1, "cancelled")]
    assert await verbs.pointer(conn, taken.job_id) is None
    assert await verbs.held_keys(conn) == {}
    assert await verbs.count(conn, "pgq_cancels") == 0


async def test_a_wish_to_cancel_comes_too_late(conn: Any, taken: Taken) -> None:
    """A job that succeeds before it hears of the wish has succeeded, and the wish is gone."""
    await verbs.cancel(conn, taken.job_id)
    await verbs.finish(conn, taken)
    assert await verbs.state(conn, taken.job_id) == "succeeded"
    assert await verbs.count(conn, "pgq_cancels") == 0


# -- the fence --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
async def test_refused_after_rescue(conn: Any, taken: Taken, outcome: str, shut: bool) -> None:
    """A worker that lost its lease changes nothing any more, whatever it wants to write."""
    await lose(conn)
    before = await everything(conn)
    assert await verbs.finish(conn, taken, outcome, shut=shut) == {taken.job_id: "gone"}
    assert await everything(conn) == before


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_refused_while_another_runs_it(conn: Any, taken: Taken, outcome: str) -> None:
    """A stale worker does not touch the next attempt of its job."""
    await lose(conn)
    (again,) = (await verbs.claim(conn, worker=2)).jobs
    assert (again.job_id, again.attempt) == (taken.job_id, 2)
    before = await everything(conn)
    assert await verbs.finish(conn, taken, outcome) == {taken.job_id: "gone"}
    assert await everything(conn) == before
    assert await verbs.finish(conn, again) == {}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_refused_after_a_rescue_that_failed_the_job(conn: Any, outcome: str) -> None:
    """Where rescue has failed a job that may start only once, the stale worker is refused too."""
    (job,) = await verbs.enqueue(conn, max_attempts=1)
    (taken,) = (await verbs.claim(conn)).jobs
    assert await verbs.rescue(conn, 1) == {job: "failed"}
    before = await everything(conn)
    assert await verbs.finish(conn, taken, outcome) == {job: "gone"}
    assert await everything(conn) == before


async def test_refused_after_a_rescue_that_cancelled_the_job(conn: Any, taken: Taken) -> None:
    """Where rescue has cancelled a job, as was wished, its stale worker is refused."""
    await verbs.cancel(conn, taken.job_id)
    assert await verbs.rescue(conn, 1) == {taken.job_id: "cancelled"}
    assert await verbs.finish(conn, taken) == {taken.job_id: "gone"}
    assert await verbs.outcomes(conn, taken.job_id) == [(1, "cancelled")]


async def test_a_stale_worker_frees_no_key(conn: Any) -> None:
    """A stale outcome does not free the unique key of a job that somebody has put back."""
    (job,) = await verbs.enqueue(conn, unique_keys="key", max_attempts=1)
    (taken,) = (await verbs.claim(conn)).jobs
    await lose(conn)
    assert await verbs.retry(conn, job) == {job: "retried"}
    await verbs.finish(conn, taken, "failed")
    assert await verbs.held_keys(conn) == {"key": job}


async def test_a_stale_worker_takes_no_wish_back(conn: Any) -> None:
    """A stale outcome does not remove the wish to cancel the attempt that runs now."""
    (job,) = await verbs.enqueue(conn, max_attempts=1)
    (taken,) = (await verbs.claim(conn)).jobs
    await lose(conn)
    await verbs.retry(conn, job)
    await verbs.claim(conn, worker=2)
    await verbs.cancel(conn, job)
    await verbs.finish(conn, taken, "failed")
    assert await verbs.count(conn, "pgq_cancels") == 1


async def test_a_wrong_token_is_refused(conn: Any, taken: Taken) -> None:
    """The right lease number with another claim's token is refused: the fence is both."""
    before = await everything(conn)
    wrong = replace(taken, token=taken.token + 1)
    assert await verbs.finish(conn, wrong) == {taken.job_id: "gone"}
    assert await verbs.finish(conn, wrong, shut=False) == {taken.job_id: "gone"}
    assert await everything(conn) == before


async def test_a_wrong_worker_is_refused(conn: Any, taken: Taken) -> None:
    """A lease belongs to its worker: another one's outcome is refused."""
    before = await everything(conn)
    wrong = replace(taken, worker=2)
    assert await verbs.finish(conn, wrong) == {taken.job_id: "gone"}
    assert await everything(conn) == before


async def test_others_in_the_flush_are_written(conn: Any) -> None:
    """A refused outcome does not hold up the others of the same flush."""
    await verbs.enqueue(conn, count=2)
    stale = (await verbs.claim(conn, 1)).jobs
    await lose(conn)
    fresh = (await verbs.claim(conn, 1)).jobs
    assert await verbs.finish(conn, stale + fresh) == {stale[0].job_id: "gone"}
    assert await verbs.state(conn, fresh[0].job_id) == "succeeded"


# -- sent twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
async def test_sent_twice_is_once(conn: Any, taken: Taken, outcome: str, shut: bool) -> None:
    """A flush whose answer was lost can be sent again: it is accepted and changes nothing."""
    assert await verbs.finish(conn, taken, outcome, shut=shut) == {}
    before = await everything(conn)
    assert await verbs.finish(conn, taken, outcome, shut=shut) == {}
    assert await everything(conn) == before


async def test_sent_again_after_the_job_went_on(conn: Any, taken: Taken) -> None:
    """A flush sent again after its job was put back and runs anew leaves the new attempt alone."""
    await verbs.finish(conn, taken, "failed")
    await verbs.retry(conn, taken.job_id)
    (again,) = (await verbs.claim(conn)).jobs
    await verbs.cancel(conn, taken.job_id)
    before = await everything(conn)
    assert await verbs.finish(conn, taken, "failed") == {}
    assert await everything(conn) == before
    assert await verbs.finish(conn, again, "retry") == {}
    assert await verbs.state(conn, taken.job_id) == "cancelled"


async def test_sent_again_while_the_first_is_on_its_way(
    conn: Any, connect: Connect, taken: Taken
) -> None:
    """A flush sent again while the first one is still committing is 'busy', then written once."""
    other = await connect()
    await verbs.impatient(other)
    async with verbs.held(conn):
        await verbs.finish(conn, taken, "retry")
        assert await verbs.finish(other, taken, "retry") == {taken.job_id: "busy"}
    assert await verbs.finish(other, taken, "retry") == {}
    assert await verbs.outcomes(conn, taken.job_id) == [(1, "retry")]
    assert (await verbs.pointer(conn, taken.job_id)) is not None


@pytest.mark.parametrize(("end", "answer"), [(KEEP, "already there"), (UNDO, {})])
async def test_sent_again_on_an_open_lease(
    conn: Any, connect: Connect, taken: Taken, end: str, answer: Any
) -> None:
    """On a lease that stays, the second sender waits for the first, and writes what it did not, or
    is told to come again."""
    other, observer = await connect(), await connect()

    async def again() -> Any:
        try:
            return await verbs.finish(other, taken, "retry", shut=False)
        except asyncpg.UniqueViolationError:
            return "already there"

    async with verbs.held(conn, end=end):
        await verbs.finish(conn, taken, "retry", shut=False)
        async with verbs.waiting(observer, other, again()) as second:
            await conn.execute(end)
    assert await second == answer
    assert await again() == {}
    assert await verbs.outcomes(conn, taken.job_id) == [(1, "retry")]
    assert (await verbs.pointer(conn, taken.job_id)) is not None


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
@pytest.mark.parametrize(("end", "answer"), [(KEEP, "gone"), (UNDO, None)])
async def test_busy_while_somebody_holds_the_lease(
    conn: Any, connect: Connect, taken: Taken, shut: bool, end: str, answer: str | None
) -> None:
    """While a rescue holds the lease an outcome is 'busy'; then it is written or refused."""
    other = await connect()
    await verbs.impatient(other)
    async with verbs.held(conn, end=end):
        await lose(conn)
        assert await verbs.finish(other, taken, shut=shut) == {taken.job_id: "busy"}
    expected = {} if answer is None else {taken.job_id: answer}
    assert await verbs.finish(other, taken, shut=shut) == expected
    state = "succeeded" if answer is None else "ready"
    assert await verbs.state(conn, taken.job_id) == state


# -- in the handler's own transaction ---------------------------------------------------------


@pytest.mark.parametrize("end", [KEEP, UNDO])
async def test_completed_with_the_handlers_own_work(
    conn: Any, connect: Connect, taken: Taken, end: str
) -> None:
    """The outcome can be part of the handler's transaction: both are kept or neither."""
    other = await connect()
    await conn.execute("CREATE TABLE effects (id int)")
    async with verbs.held(conn, end=end):
        await conn.execute("INSERT INTO effects VALUES (1)")
        assert await verbs.finish(conn, taken) == {}
    kept = end == KEEP
    assert await verbs.count(other, "effects") == int(kept)
    assert await verbs.state(other, taken.job_id) == ("succeeded" if kept else "running")
    assert await verbs.held_keys(other) == ({} if kept else {"key": taken.job_id})


async def test_the_handlers_transaction_is_fenced(conn: Any, connect: Connect) -> None:
    """A handler whose job was failed by rescue is refused before it commits its own work."""
    other = await connect()
    (job,) = await verbs.enqueue(conn, max_attempts=1)
    (taken,) = (await verbs.claim(conn)).jobs
    async with verbs.held(conn, end=UNDO):
        await conn.execute("CREATE TABLE effects (id int)")
        assert await verbs.rescue(other, 1) == {job: "failed"}
        assert await verbs.finish(conn, taken) == {job: "gone"}


async def test_a_completed_neighbour_does_not_wait(conn: Any, connect: Connect) -> None:
    """Jobs with leases of their own are finished side by side while one transaction is open."""
    other = await connect()
    await verbs.impatient(other)
    await verbs.enqueue(conn, count=2)
    single = [await verbs.lane(conn)]
    first, second = (await verbs.claim(conn, single=single)).jobs
    async with verbs.held(conn):
        await verbs.finish(conn, first)
        assert await verbs.finish(other, second) == {}
        assert await verbs.states(other) == {first.job_id: "running", second.job_id: "succeeded"}
