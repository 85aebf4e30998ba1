"""Batches and chains: callbacks, progress, results that reach successors."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from pgq_core import Cancel, Context, Job, JobState, NewJob, PgQueuer
from pgq_core.errors import DuplicateJob, InvalidInput
from tests.sql import verbs
from tests.support import eventually
from tests.worker.harness import finished, states_of, working


@pytest.fixture
def seen(pgq: PgQueuer) -> list[str]:
    """Handlers: `ok` and `bad` end as they are called; the others note that they ran."""
    ran: list[str] = []

    @pgq.entrypoint("ok")
    async def ok(job: Job) -> Any:
        return job.json()

    @pgq.entrypoint("bad", max_attempts=1)
    async def bad(job: Job) -> None:
        raise RuntimeError("as told")

    def note(name: str) -> None:
        @pgq.entrypoint(name)
        async def handler(job: Job, context: Context) -> Any:
            ran.append(name)
            return sorted((await context.results()).values(), key=str)

    for name in ("done", "success", "failure"):
        note(name)
    return ran


async def drain(pgq: PgQueuer) -> None:
    """Work until nothing is left."""
    await pgq.run(until_empty=True)


# -- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "ran"),
    [(["ok"] * 5, ["done", "success"]), (["ok", "bad", "ok"], ["done", "failure"]),
     (["bad", "bad"], ["done", "failure"])],
)  # fmt: skip
async def test_callbacks(pgq: PgQueuer, seen: list[str], jobs: list[str], ran: list[str]) -> None:
    """`on_done` runs when every job has ended, `on_success` when all succeeded, `on_failure` when
    one has failed; each once."""
    async with pgq.batch(
        on_done=NewJob("done"), on_success=NewJob("success"), on_failure=NewJob("failure")
    ) as batch:
        for name in jobs:
            batch.add(name)
    assert batch.id is not None
    await drain(pgq)
    assert sorted(seen) == ran
    progress = await batch.progress()
    assert (progress.total, progress.failed) == (len(jobs), jobs.count("bad"))
    assert (progress.done, progress.open) == (True, 0)


async def test_on_failure_runs_at_the_first_failure(pgq: PgQueuer, seen: list[str]) -> None:
    """`on_failure` does not wait for the rest of the batch."""
    async with pgq.batch(on_failure=NewJob("failure"), on_done=NewJob("done")) as batch:
        batch.add("bad")
        batch.add(NewJob("ok", delay=3600))
    await drain(pgq)
    assert seen == ["failure"]
    progress = await batch.progress()
    assert (progress.failed, progress.open, progress.done) == (1, 1, False)


async def test_progress_counts_a_retried_job_as_open(pgq: PgQueuer, seen: list[str]) -> None:
    """A failed job of a batch that is retried by hand counts as open again until it has ended."""
    async with pgq.batch() as batch:
        batch.add("bad")
        batch.add("ok")
    await drain(pgq)
    assert (await batch.progress()).failed == 1
    await pgq.queries.retry(batch.job_ids[:1])
    progress = await batch.progress()
    assert (progress.succeeded, progress.failed, progress.open) == (1, 0, 1)


async def test_results_reach_the_callback(pgq: PgQueuer, seen: list[str]) -> None:
    """The callback reads the results of the batch's jobs, of those that succeeded."""
    async with pgq.batch(on_done=NewJob("done")) as batch:
        for n in range(3):
            batch.add("ok", n)
        batch.add("bad")
    await drain(pgq)
    callback = await pgq.queries.get_job(batch.callback_ids[0])
    assert callback.result == [0, 1, 2]


async def test_pruning_does_not_break_a_batch(pgq: PgQueuer, seen: list[str], conn: Any) -> None:
    """Jobs of a batch that have been pruned count as ended; when all are gone the batch goes too."""
    async with pgq.batch() as batch:
        batch.add("ok")
        batch.add(NewJob("ok", delay=3600))
    await drain(pgq)
    none = timedelta(0)
    assert await pgq.queries.prune(succeeded=none, failed=none, cancelled=none) == 1
    progress = await batch.progress()
    assert (progress.total, progress.pruned, progress.open) == (2, 1, 1)
    assert await verbs.count(conn, "pgq_batches") == 1
    await pgq.queries.cancel(batch.job_ids)
    await pgq.queries.prune(succeeded=none, failed=none, cancelled=none)
    assert await verbs.count(conn, "pgq_batches") == 0
    with pytest.raises(InvalidInput, match="no batch"):
        await batch.progress()


async def test_a_batch_is_all_or_nothing(pgq: PgQueuer, seen: list[str], conn: Any) -> None:
    """Jobs, callbacks and the batch are one transaction; an error in the block, or in one of the
    jobs, leaves nothing behind."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with pgq.batch() as batch:
            batch.add("ok")
            raise ZeroDivisionError
    await pgq.enqueue("ok", unique_key="k")
    with pytest.raises(DuplicateJob):  # noqa: PT012
        async with pgq.batch(on_done=NewJob("done")) as batch:
            batch.add("ok")
            batch.add(NewJob("ok", unique_key="k", on_duplicate="raise"))
    assert batch.id is None
    assert await verbs.count(conn, "pgq_jobs") == 1
    assert await verbs.count(conn, "pgq_batches") == 0


async def test_a_batch_in_the_callers_transaction(
    pgq: PgQueuer, seen: list[str], conn: Any
) -> None:
    """With `connection=` the batch is part of the caller's transaction, and gone with it."""
    transaction = conn.transaction()
    await transaction.start()
    async with pgq.batch(on_done=NewJob("done"), connection=conn) as batch:
        batch.add("ok")
    assert await verbs.count(conn, "pgq_jobs") == 2
    await transaction.rollback()
    assert batch.id is not None
    assert await verbs.count(conn, "pgq_jobs") == await verbs.count(conn, "pgq_batches") == 0


async def test_wrong_batches(pgq: PgQueuer, seen: list[str]) -> None:
    """An empty batch is an error, and so is asking for progress before the block has ended."""
    with pytest.raises(InvalidInput, match="at least one job"):
        async with pgq.batch():
            pass
    with pytest.raises(InvalidInput, match="leave its block first"):  # noqa: PT012
        async with pgq.batch() as batch:
            batch.add("ok")
            await batch.progress()


async def test_the_same_job_twice(pgq: PgQueuer, seen: list[str]) -> None:
    """A NewJob added twice is two jobs, and the callback waits for both."""
    one = NewJob("ok", 1)
    async with pgq.batch(on_success=NewJob("success")) as batch:
        batch.add(one)
        batch.add(one)
    await drain(pgq)
    assert len(set(batch.job_ids)) == 2
    assert (await pgq.queries.get_job(batch.callback_ids[0])).result == [1, 1]


@pytest.mark.timeout(90)
async def test_ten_thousand_children(pgq: PgQueuer, seen: list[str], conn: Any) -> None:
    """10,000 children are enqueued and finish in reasonable time, on two workers; no row is updated
    for each of them, and the callback runs once."""
    updates, began = await updated(conn), time.monotonic()
    async with pgq.batch(on_done=NewJob("done"), on_success=NewJob("success")) as batch:
        for _ in range(10_000):
            batch.add("ok")
    assert time.monotonic() - began < 10.0
    async with working(pgq, concurrency=200):
        assert await finished(conn, *batch.callback_ids) == ["succeeded"] * 2
    assert time.monotonic() - began < 40.0
    assert sorted(seen) == ["done", "success"]
    assert (await batch.progress()).succeeded == 10_000
    assert await updated(conn) == updates


async def updated(on: Any) -> int:
    """How many rows have ever been updated in the tables that children are written to."""
    await on.execute("SELECT pg_stat_clear_snapshot()")
    return int(
        await on.fetchval(
            "SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname IN "
            "('pgq_batches', 'pgq_blocked', 'pgq_edges', 'pgq_jobs', 'pgq_attempts', 'pgq_ready')"
        )
    )


# -- chains ---------------------------------------------------------------------------------------


async def test_a_chain(pgq: PgQueuer, conn: Any) -> None:
    """`chain(a, b, c)` runs one after the other; each reads the result of the one before."""

    @pgq.entrypoint("count")
    async def count(job: Job, context: Context) -> int:
        return 1 + sum((await context.results()).values())

    ids = await pgq.chain(*(NewJob("count") for _ in range(5)))
    assert await states_of(conn, ids) == ["ready"] + ["blocked"] * 4
    await drain(pgq)
    assert [(await pgq.queries.get_job(id_)).result for id_ in ids] == [1, 2, 3, 4, 5]
    jobs = [await pgq.queries.get_job(id_) for id_ in ids]
    for one, two in pairwise(jobs):
        assert one.finished_at is not None
        assert two.started_at is not None
        assert one.finished_at <= two.started_at


async def test_a_broken_chain(pgq: PgQueuer, seen: list[str], conn: Any) -> None:
    """When a link fails the rest is cancelled, but for links that say otherwise."""
    ids = await pgq.chain(
        NewJob("ok"), NewJob("bad"), NewJob("ok", on_failure="skip"), NewJob("done"),
        NewJob("failure", on_failure="only"),
    )  # fmt: skip
    await drain(pgq)
    assert await states_of(conn, ids) == [
        "succeeded",
        "failed",
        "cancelled",
        "succeeded",
        "cancelled",
    ]
    assert seen == ["done"]


async def test_a_retried_link_goes_on(pgq: PgQueuer, conn: Any) -> None:
    """A link that is retried until it succeeds holds the chain up and does not break it."""
    tries = 0

    @pgq.entrypoint("flaky", backoff=0)
    async def flaky(job: Job) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError
        return "third time"

    @pgq.entrypoint("after")
    async def after(job: Job, context: Context) -> Any:
        return list((await context.results()).values())

    _, last = await pgq.chain(NewJob("flaky"), NewJob("after"))
    await drain(pgq)
    assert (await pgq.queries.get_job(last)).result == ["third time"]


async def test_a_link_that_cancels_itself(pgq: PgQueuer, seen: list[str], conn: Any) -> None:
    """A handler that raises Cancel counts as cancelled for those behind it."""

    @pgq.entrypoint("no")
    async def no(job: Job) -> None:
        raise Cancel("not today")

    ids = await pgq.chain(NewJob("no"), NewJob("done"))
    await drain(pgq)
    assert await states_of(conn, ids) == ["cancelled", "cancelled"]


async def test_fan_in_by_id(pgq: PgQueuer, seen: list[str]) -> None:
    """`after=[ids]` waits for jobs enqueued before, and `context.results()` gives theirs."""
    ids = [await pgq.enqueue("ok", n) for n in range(3)]
    last = await pgq.enqueue("done", after=ids)
    assert (await pgq.queries.get_job(last)).state is JobState.BLOCKED
    await drain(pgq)
    assert (await pgq.queries.get_job(last)).result == [0, 1, 2]


async def test_a_transactional_link(pgq: PgQueuer, seen: list[str]) -> None:
    """A link completed by its handler's own transaction releases the next with that commit."""

    @pgq.entrypoint("pay", transactional=True)
    async def pay(job: Job, context: Context) -> None:
        async with context.transaction(result=42):
            pass

    ids = await pgq.chain(NewJob("pay"), NewJob("done"))
    await drain(pgq)
    assert (await pgq.queries.get_job(ids[1])).result == [42]


async def test_a_chain_over_two_workers(pgq: PgQueuer, other: PgQueuer, conn: Any) -> None:
    """Links may run on different workers; the next starts moments after the one before."""

    def register(on: PgQueuer) -> None:
        @on.entrypoint("link")
        async def link(job: Job) -> None:
            await asyncio.sleep(0)

    register(pgq)
    register(other)
    async with working(pgq), working(other):
        began = time.monotonic()
        ids = await pgq.chain(*(NewJob("link") for _ in range(30)))
        await eventually(lambda: ended(conn, ids[-1]))
        assert time.monotonic() - began < 6.0
    assert await states_of(conn, ids) == ["succeeded"] * 30


async def ended(conn: Any, id_: int) -> bool:
    return (await states_of(conn, [id_])) == ["succeeded"]
