"""Jobs that wait for others: every policy, every interleaving, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from pgq_core import NewJob, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.errors import InvalidInput
from tests.flow import steps
from tests.sql import verbs
from tests.sql.verbs import UNDO

Connect = Callable[..., Awaitable[Any]]


async def after(on: Any, *ids: int, policy: str | None = None, **fields: Any) -> int:
    """A job that waits for these."""
    (job,) = await steps.add(on, NewJob("after", after=ids, on_failure=policy, **fields))
    return job


async def error_of(on: Any, job: int) -> str:
    """Why a job was cancelled."""
    error = (await verbs.queries(on).get_job(job)).error
    assert error is not None
    return str(error["type"])


# -- fan-in and policies ----------------------------------------------------------------------


async def test_fan_in(conn: Any) -> None:
    """A job stays blocked until the last of those it waits for has ended, then it is ready."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second)
    assert await verbs.state(conn, job) == "blocked"
    claimed = await verbs.claim(conn)
    await verbs.finish(conn, claimed.jobs[0], shut=False)
    assert await verbs.state(conn, job) == "blocked"
    await verbs.finish(conn, claimed.jobs[1])
    assert await verbs.state(conn, job) == "ready"
    assert await verbs.count(conn, "pgq_edges") == 0


async def test_fan_out(conn: Any) -> None:
    """Any number of jobs may wait for the same one; all become ready when it ends, in order."""
    (first,) = await verbs.enqueue(conn)
    waiting = [await after(conn, first) for _ in range(5)]
    await steps.run(conn, {first: "succeeded"})
    assert (await verbs.claim(conn)).ids == waiting


@pytest.mark.parametrize(
    ("policy", "outcome", "expected"),
    [
        (None, "succeeded", "ready"),
        (None, "failed", "PredecessorFailed"),
        (None, "cancelled", "PredecessorFailed"),
        ("cancel", "failed", "PredecessorFailed"),
        ("skip", "succeeded", "ready"),
        ("skip", "failed", "Skipped"),
        ("skip", "cancelled", "Skipped"),
        ("run", "succeeded", "ready"),
        ("run", "failed", "ready"),
        ("run", "cancelled", "ready"),
        ("only", "succeeded", "Skipped"),
        ("only", "failed", "ready"),
        ("only", "cancelled", "ready"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "enqueued later"])
async def test_policies(
    conn: Any, policy: str | None, outcome: str, expected: str, late: bool
) -> None:
    """`on_failure` decides what becomes of a job, whether it was there when the other ended or
    came afterwards."""
    (first,) = await verbs.enqueue(conn)
    job = 0 if late else await after(conn, first, policy=policy)
    await steps.run(conn, {first: outcome})
    if late:
        job = await after(conn, first, policy=policy)
    if expected == "ready":
        assert await verbs.state(conn, job) == "ready"
    else:
        assert await verbs.state(conn, job) == "cancelled"
        assert await error_of(conn, job) == expected
    assert await verbs.count(conn, "pgq_blocked") == await verbs.count(conn, "pgq_edges") == 0


@pytest.mark.parametrize("policy", ["cancel", "skip", "only"])
async def test_the_first_failure_decides(conn: Any, policy: str) -> None:
    """Whoever does not run in any case does not wait for the rest once one has failed."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second, policy=policy)
    claimed = await verbs.claim(conn)
    await verbs.finish(conn, claimed.jobs[0], "failed", shut=False)
    assert await verbs.state(conn, job) == ("ready" if policy == "only" else "cancelled")
    await verbs.finish(conn, claimed.jobs[1])
    assert len((await verbs.claim(conn)).jobs) == (policy == "only")


async def test_run_waits_for_all(conn: Any) -> None:
    """`on_failure="run"` waits for every job, whatever became of the first."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second, policy="run")
    claimed = await verbs.claim(conn)
    await verbs.finish(conn, claimed.jobs[0], "failed", shut=False)
    assert await verbs.state(conn, job) == "blocked"
    await verbs.finish(conn, claimed.jobs[1])
    assert await verbs.state(conn, job) == "ready"


async def test_retries_are_no_end(conn: Any) -> None:
    """A job that will be retried, or was interrupted or lost, has not ended: its successor waits."""
    (first,) = await verbs.enqueue(conn)
    job = await after(conn, first, policy="run")
    for outcome in ("retry", "snooze", "interrupted"):
        await steps.run(conn, {first: outcome})
        assert await verbs.state(conn, job) == "blocked"
    worker = await verbs.register(conn)
    (taken,) = (await verbs.claim(conn, worker=worker)).jobs
    assert await verbs.crashed(conn, taken, worker) == "lost"
    assert await verbs.state(conn, job) == "blocked"


# -- cascades -----------------------------------------------------------------------------------


async def test_a_failure_cancels_the_whole_chain(conn: Any) -> None:
    """When a link fails, every link behind it is cancelled, in the same transaction."""
    (first,) = await verbs.enqueue(conn)
    chain = [first]
    for _ in range(6):
        chain.append(await after(conn, chain[-1]))
    await steps.run(conn, {first: "failed"})
    assert set((await verbs.states(conn, chain[1:])).values()) == {"cancelled"}
    assert await error_of(conn, chain[-1]) == "PredecessorFailed"


async def test_a_skipped_link_is_no_failure(conn: Any) -> None:
    """A job that was skipped lets its successors run; one that was cancelled does not."""
    (first,) = await verbs.enqueue(conn)
    skipped = await after(conn, first, policy="skip")
    behind = await after(conn, skipped)
    cleanup = await after(conn, skipped, policy="only")
    await steps.run(conn, {first: "failed"})
    states = await verbs.states(conn, [skipped, behind, cleanup])
    assert states == {skipped: "cancelled", behind: "ready", cleanup: "cancelled"}


async def test_a_cascade_ends_where_a_job_runs_anyway(conn: Any) -> None:
    """Behind a failure, a job with `run` or `only` becomes ready and stops the cascade."""
    (first,) = await verbs.enqueue(conn)
    second = await after(conn, first)
    anyway = await after(conn, second, policy="run")
    alarm = await after(conn, second, policy="only")
    last = await after(conn, anyway)
    await steps.run(conn, {first: "failed"})
    states = await verbs.states(conn, [second, anyway, alarm, last])
    assert list(states.values()) == ["cancelled", "ready", "ready", "blocked"]


async def test_a_diamond(conn: Any) -> None:
    """In a diamond the last job runs once, after both sides."""
    (top,) = await verbs.enqueue(conn)
    sides = [await after(conn, top), await after(conn, top)]
    bottom = await after(conn, *sides)
    await steps.run(conn, {top: "succeeded"})
    await steps.run(conn, dict.fromkeys(sides, "succeeded"))
    await steps.run(conn, {bottom: "succeeded"})
    assert await verbs.outcomes(conn, bottom) == [(1, "succeeded")]


async def test_cancelling_by_hand_cascades(conn: Any) -> None:
    """Cancelling a job, ready or blocked, decides about those behind it at once."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first)
    behind = await after(conn, job)
    report = await after(conn, job, second, policy="run")
    assert await verbs.queries(conn).cancel([job]) == {job: "cancelled"}
    states = await verbs.states(conn, [job, behind, report])
    assert list(states.values()) == ["cancelled", "cancelled", "blocked"]
    await steps.run(conn, {first: "succeeded", second: "succeeded"})
    assert await verbs.state(conn, report) == "ready"


async def test_a_cancelled_successor_frees_its_unique_key(conn: Any) -> None:
    """A job cancelled because another failed gives its unique key back."""
    (first,) = await verbs.enqueue(conn)
    await after(conn, first, unique_key="report")
    assert list(await verbs.held_keys(conn)) == ["report"]
    await steps.run(conn, {first: "failed"})
    assert await verbs.held_keys(conn) == {}


async def test_rescue_follows(conn: Any) -> None:
    """A job that failed because it killed its worker counts as failed for those behind it."""
    (first,) = await verbs.enqueue(conn, max_attempts=1)
    job = await after(conn, first)
    worker = await verbs.register(conn)
    (taken,) = (await verbs.claim(conn, worker=worker)).jobs
    assert await verbs.crashed(conn, taken, worker) == "failed"
    assert await verbs.state(conn, job) == "cancelled"


# -- when it may run ------------------------------------------------------------------------------


async def test_a_delay_counts_from_enqueue(conn: Any) -> None:
    """A job that waits for others and for a time becomes deferred when the others are done first."""
    (first,) = await verbs.enqueue(conn)
    job = await after(conn, first, delay=3600)
    await steps.run(conn, {first: "succeeded"})
    assert await verbs.state(conn, job) == "deferred"


async def test_a_key_is_taken_when_the_wait_is_over(conn: Any) -> None:
    """A blocked job does not hold its concurrency key; it competes for it once it is ready."""
    (first,) = await verbs.enqueue(conn)
    job = await after(conn, first, concurrency_key="k")
    assert await steps.holders(conn) == {}
    await steps.run(conn, {first: "succeeded"})
    assert (await steps.claim_limited(conn)).ids == [job]
    assert await steps.holders(conn) == {"key:k": [job]}


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [[999_999], [1, 999_999]])
async def test_unknown_predecessors(conn: Any, ids: list[int]) -> None:
    """Waiting for a job that does not exist raises InvalidInput; the transaction stays usable and
    nothing was written."""
    await verbs.enqueue(conn)
    async with conn.transaction():
        with pytest.raises(InvalidInput, match="999999"):
            await after(conn, *ids)
        assert await conn.fetchval("SELECT count(*) FROM pgq_jobs") == 1


async def test_unknown_predecessors_in_plain_sql(conn: Any) -> None:
    """A plain INSERT that waits for an unknown job fails as a foreign key would."""
    with pytest.raises(asyncpg.ForeignKeyViolationError, match=r"do not exist: \{77\}"):
        await conn.execute("INSERT INTO pgq_jobs (entrypoint, after) VALUES ('a', '{77}')")


@pytest.mark.parametrize("odd", [0, -1, True, "1", None])
async def test_odd_predecessors(conn: Any, odd: Any) -> None:
    """`after` takes ids and NewJobs of the same call; anything else is an error before any SQL."""
    with pytest.raises(InvalidInput, match="after="):
        await steps.add(conn, NewJob("a", after=[odd]))
    with pytest.raises(InvalidInput, match="not part of this call"):
        await steps.add(conn, NewJob("a", after=[NewJob("elsewhere")]))


@pytest.mark.parametrize("odd", [7, "7,8", NewJob("other")])
async def test_what_is_no_list_of_predecessors(pgq: PgQueuer, odd: Any) -> None:
    """`after=7` is refused with the way out, `after=[7]`, wherever jobs are put together."""
    job = NewJob("a", after=odd)
    with pytest.raises(InvalidInput, match=r"give a list, as in after=\["):
        await pgq.enqueue(job)
    with pytest.raises(InvalidInput, match=r"give a list, as in after=\["):
        await pgq.chain(NewJob("first"), job)
    with pytest.raises(InvalidInput, match=r"give a list, as in after=\["):
        async with pgq.batch(on_done=job) as batch:
            batch.add("a")


async def test_circles_are_refused(conn: Any) -> None:
    """Jobs that would wait for each other in a circle are an error at enqueue, by any way in."""
    before: list[int | NewJob] = []
    first = NewJob("first", after=before)
    second = NewJob("second", after=[first])
    before.append(second)
    with pytest.raises(InvalidInput, match="'first' → 'second'|'second' → 'first'"):
        await steps.add(conn, first, second)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="in a circle"):
        await conn.execute(
            "INSERT INTO pgq_jobs (id, entrypoint, after) VALUES (71, 'a', '{72}'), (72, 'b', '{71}')"
        )
    with pytest.raises(asyncpg.InvalidParameterValueError, match="in a circle"):
        await conn.execute("INSERT INTO pgq_jobs (id, entrypoint, after) VALUES (71, 'a', '{71}')")
    assert await verbs.count(conn, "pgq_jobs") == 0


async def test_any_order_within_a_call(conn: Any) -> None:
    """Within one call a job may stand before the ones it waits for, and name one twice."""
    child = NewJob("child")
    parent = NewJob("parent", after=[child])
    last, middle, first, again = await steps.add(
        conn, NewJob("last", after=[parent, child]), parent, child, child
    )
    await steps.run(conn, {first: "succeeded", again: "succeeded"})
    await steps.run(conn, {middle: "succeeded"})
    await steps.run(conn, {last: "succeeded"})


async def test_an_empty_list_waits_for_nothing(conn: Any) -> None:
    """`after '{}'` in plain SQL is a job that is ready at once."""
    job = await conn.fetchval(
        "INSERT INTO pgq_jobs (entrypoint, after) VALUES ('a', '{}') RETURNING id"
    )
    assert await verbs.state(conn, job) == "ready"


async def test_waiting_for_a_duplicate(conn: Any) -> None:
    """Behind a job that turned out to be a duplicate, one waits for the job that holds the key."""
    unique = NewJob("load", unique_key="load")
    (holder,) = await steps.add(conn, unique)
    found, job = await steps.add(conn, unique, NewJob("report", after=[unique]))
    assert found == holder
    assert await verbs.state(conn, job) == "blocked"
    await steps.run(conn, {holder: "succeeded"})
    assert await verbs.state(conn, job) == "ready"


# -- interleavings ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["finish commits last", "enqueue commits last"])
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_ending_while_a_dependent_is_enqueued(
    conn: Any, connect: Connect, order: str, outcome: str
) -> None:
    """A job enqueued while its predecessor ends, neither transaction seeing the other, is decided
    by the next sweep."""
    (first,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    finishing, enqueueing = await connect(), await connect()
    outer, inner = (
        (finishing, enqueueing) if order == "finish commits last" else (enqueueing, finishing)
    )
    await outer.execute("BEGIN")
    await inner.execute("BEGIN")
    job = await after(enqueueing, first)
    await verbs.finish(finishing, taken, outcome)
    await inner.execute("COMMIT")
    await outer.execute("COMMIT")
    assert await verbs.state(conn, job) == "blocked"
    await steps.sweep(conn)
    assert await verbs.state(conn, job) == ("ready" if outcome == "succeeded" else "cancelled")


@pytest.mark.parametrize("finishes", ["before the insert", "after the insert", "after the commit"])
async def test_ending_one_after_the_other(conn: Any, connect: Connect, finishes: str) -> None:
    """Where one of the two transactions sees the other, the job is ready at once, without a
    sweep."""
    (first,) = await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    other = await connect()
    if finishes == "before the insert":
        async with verbs.held(other):
            await verbs.finish(conn, taken)
            job = await after(other, first)
    elif finishes == "after the insert":
        async with verbs.held(conn):
            job = await after(other, first)
            await verbs.finish(conn, taken)
    else:
        job = await after(other, first)
        await verbs.finish(conn, taken)
    assert await verbs.state(conn, job) == "ready"


@pytest.mark.parametrize("outcomes", [("succeeded", "succeeded"), ("succeeded", "failed")])
async def test_two_predecessors_ending_at_once(
    conn: Any, connect: Connect, outcomes: tuple[str, str]
) -> None:
    """When the last two predecessors end in transactions that do not see each other, the sweep
    decides; neither waits for the other."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second)
    (one,), (two,) = [(await verbs.claim(conn, 1)).jobs for _ in range(2)]
    other = await connect()
    for on in (conn, other):
        await verbs.impatient(on)
        await on.execute("BEGIN")
    await verbs.finish(conn, one, outcomes[0])
    await verbs.finish(other, two, outcomes[1])
    await conn.execute("COMMIT")
    await other.execute("COMMIT")
    await steps.sweep(conn)
    expected = "ready" if "failed" not in outcomes else "cancelled"
    assert await verbs.state(conn, job) == expected
    assert await verbs.count(conn, "pgq_blocked") == await verbs.count(conn, "pgq_edges") == 0


async def test_two_failures_do_not_wait_for_each_other(conn: Any, connect: Connect) -> None:
    """Jobs that fail at the same moment in front of the same successors never block each other:
    the successor is cancelled once, its own successor too."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second)
    behind = await after(conn, job, second)
    (one,), (two,) = [(await verbs.claim(conn, 1)).jobs for _ in range(2)]
    other = await connect()
    for on in (conn, other):
        await verbs.impatient(on)
        await on.execute("BEGIN")
    await verbs.finish(conn, one, "failed")
    await verbs.finish(other, two, "failed")
    await other.execute("COMMIT")
    await conn.execute("COMMIT")
    await steps.sweep(conn)
    assert set((await verbs.states(conn, [job, behind])).values()) == {"cancelled"}
    assert await verbs.outcomes(conn, job) == [(1, "cancelled")]
    assert await verbs.count(conn, "pgq_blocked") == await verbs.count(conn, "pgq_edges") == 0


async def test_a_failure_is_not_forgotten_with_a_rollback(conn: Any, connect: Connect) -> None:
    """A predecessor fails while somebody cancels the successor and then takes that back: it is
    cancelled all the same, when the rest has ended."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second)
    one, two = (await verbs.claim(conn)).jobs
    other = await connect()
    async with verbs.held(other, end=UNDO):
        await verbs.queries(other).cancel([job])
        await verbs.finish(conn, one, "failed", shut=False)
    assert await verbs.state(conn, job) == "blocked"
    await verbs.finish(conn, two)
    await steps.sweep(conn)
    assert await verbs.state(conn, job) == "cancelled"


async def test_a_failure_nobody_could_act_on(conn: Any, connect: Connect) -> None:
    """A predecessor fails while somebody else holds the successor, about to decide about it, and
    then does not: the failure still counts when the rest has ended."""
    first, second = await verbs.enqueue(conn, count=2)
    job = await after(conn, first, second)
    one, two = (await verbs.claim(conn)).jobs
    other = await connect()
    async with verbs.held(other, end=UNDO):
        await other.execute("SELECT FROM pgq_blocked WHERE job_id = $1 FOR UPDATE", job)
        await verbs.finish(conn, one, "failed", shut=False)
    assert await verbs.state(conn, job) == "blocked"
    await verbs.finish(conn, two)
    assert await verbs.state(conn, job) == "cancelled"


async def test_enqueue_rolled_back(conn: Any) -> None:
    """A dependent whose transaction rolls back leaves no edge behind."""
    (first,) = await verbs.enqueue(conn)
    async with verbs.held(conn, end=UNDO):
        await after(conn, first)
    assert await verbs.count(conn, "pgq_edges") == await verbs.count(conn, "pgq_blocked") == 0
    await steps.run(conn, {first: "succeeded"})


async def test_many_at_once(conn: Any, connect: Connect) -> None:
    """Finishers and enqueuers racing on eight connections leave nobody blocked."""
    first = await verbs.enqueue(conn, count=40)
    taken = (await verbs.claim(conn, 40)).jobs
    finishers, enqueuers = [[await connect() for _ in range(4)] for _ in range(2)]
    jobs: list[int] = []

    async def finish(on: Any, part: list[Any]) -> None:
        for job in part:
            await verbs.finish(on, job, shut=False)

    async def enqueue(on: Any, seed: int) -> None:
        for n in range(20):
            jobs.append(await after(on, first[(seed + n) % 40], first[(seed * 7 + n * 3) % 40]))

    await asyncio.gather(
        *(finish(on, taken[n::4]) for n, on in enumerate(finishers)),
        *(enqueue(on, n * 10) for n, on in enumerate(enqueuers)),
    )
    await steps.sweep(conn)
    assert set((await verbs.states(conn, jobs)).values()) == {"ready"}


# -- around it ------------------------------------------------------------------------------------


async def test_retrying_a_failed_predecessor(conn: Any) -> None:
    """A retried predecessor does not bring back those cancelled behind it: they are retried by
    hand, in any order, and then run at once."""
    (first,) = await verbs.enqueue(conn)
    job = await after(conn, first)
    await steps.run(conn, {first: "failed"})
    assert await verbs.queries(conn).retry([first]) == {first: "retried"}
    assert await verbs.state(conn, job) == "cancelled"
    late = await after(conn, first)
    assert await verbs.state(conn, late) == "blocked"  # it waits for the new end
    await steps.run(conn, {first: "succeeded"})
    assert await verbs.state(conn, late) == "ready"
    assert await verbs.queries(conn).retry([job]) == {job: "retried"}
    await steps.run(conn, {job: "succeeded", late: "succeeded"})


async def test_a_pruned_predecessor(conn: Any) -> None:
    """A predecessor that was pruned before the sweep saw its end holds nobody up."""
    (first,) = await verbs.enqueue(conn)
    job = await after(conn, first)
    await conn.execute("DELETE FROM pgq_jobs WHERE id = $1", first)
    await conn.execute("DELETE FROM pgq_ready WHERE job_id = $1", first)
    await steps.sweep(conn)
    assert await verbs.state(conn, job) == "ready"


async def test_prune_leaves_what_is_being_waited_for(conn: Any, connect: Connect) -> None:
    """While a dependent is being enqueued its predecessor cannot be pruned away; afterwards it can,
    and the dependent runs."""
    first = await verbs.worked(conn)
    other = await connect()
    async with verbs.held(other):
        job = await after(other, first)
        none = verbs.NO_TIME
        assert await verbs.queries(conn).prune(succeeded=none, failed=none, cancelled=none) == 0
    assert await verbs.queries(conn).prune(succeeded=none, failed=none, cancelled=none) == 1
    await steps.run(conn, {job: "succeeded"})


async def test_sweeps_go_on_where_they_stopped(conn: Any) -> None:
    """A sweep looks at a slice and says where to go on; once around, everything was looked at."""
    (first,) = await verbs.enqueue(conn)
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, after) SELECT 'after', ARRAY[$1::bigint] "
        "FROM generate_series(1, 7000)", first,
    )  # fmt: skip
    await conn.execute("DELETE FROM pgq_edges")  # as if the last two had ended unseen
    place, moved = None, []
    for _ in range(3):
        (row,) = await verbs.call(conn, "sweep", place=place, apart=0)
        place, moved = row["place"], [*moved, row["moved"]]
    assert moved == [5000, 2000, 0]


async def test_one_sweep_a_second(conn: Any, connect: Connect) -> None:
    """However many processes sweep, once a second is enough: the others do nothing."""
    other = await connect()
    (first,) = await verbs.enqueue(conn)
    await after(conn, first)
    (one,) = await verbs.call(conn, "sweep", place=None, apart=900)
    await conn.execute("DELETE FROM pgq_edges")
    (two,) = await verbs.call(other, "sweep", place=None, apart=900)
    assert (one["moved"], two["moved"]) == (0, 0)
    assert await steps.sweep(other) == 1


async def test_jobs_that_wait_for_nothing_pay_nothing(conn: Any) -> None:
    """Until the first job waits for another, nobody looks for edges at all."""
    await verbs.worked(conn)
    assert await conn.fetchval("SELECT last_value FROM pgq_flow") == 0
    pgq = PgQueuer(AsyncpgDriver(conn))
    await pgq.chain(NewJob("a"), NewJob("b"))
    assert await conn.fetchval("SELECT last_value FROM pgq_flow") == 1
