"""Unique keys: how long they are held, what a duplicate means, who wins a race."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from pgq_core import NewJob, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.errors import DuplicateJob, InvalidInput
from tests.flow import steps
from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO

Connect = Callable[..., Awaitable[Any]]
LATER = "UPDATE pgq_locks SET expires_at = expires_at - interval '1 day'"


async def unique(on: Any, key: str = "key", **fields: Any) -> tuple[int, bool]:
    """Enqueue a job with this key: its id, and whether it is new."""
    job = NewJob("work", unique_key=key, **fields)
    made = (await verbs.queries(on).enqueue_many([job]))[0]
    return made.id, made.fresh


async def again(on: Any, key: str = "key") -> int | None:
    """The job that keeps a newcomer out, if any; the newcomer is taken back."""
    async with verbs.held(on, end=UNDO):
        job, fresh = await unique(on, key)
    return None if fresh else job


async def take(on: Any) -> verbs.Taken:
    """Start the one job that is ready."""
    (taken,) = (await verbs.claim(on)).jobs
    return taken


# -- how long a key is held ---------------------------------------------------------------------


async def test_held_until_the_end(conn: Any) -> None:
    """By default a key is held while its job is deferred, ready, running, and waiting for a retry;
    it is free at its end."""
    job, _ = await unique(conn, delay=3600)
    assert await again(conn) == job
    await conn.execute("UPDATE pgq_deferred SET run_at = now()")
    await verbs.look(conn)
    assert (await verbs.state(conn, job), await again(conn)) == ("ready", job)
    taken = await take(conn)
    assert await again(conn) == job
    await verbs.finish(conn, taken, "retry", delay=0.0)
    assert await again(conn) == job
    await verbs.finish(conn, await take(conn))
    assert await again(conn) is None


async def test_held_while_waiting(conn: Any) -> None:
    """With `unique_while="waiting"` the key is free as soon as the job starts: one may run, and one
    more may wait."""
    job, _ = await unique(conn, unique_while="waiting")
    assert await again(conn) == job
    taken = await take(conn)
    second, fresh = await unique(conn, unique_while="waiting")
    assert fresh
    await verbs.finish(conn, taken)
    assert await again(conn) == second


async def test_held_while_waiting_under_a_key(conn: Any) -> None:
    """The same holds for a job with a concurrency key, which is claimed another way."""
    await unique(conn, unique_while="waiting", concurrency_key="k")
    (taken,) = (await steps.claim_limited(conn)).jobs
    second, fresh = await unique(conn, unique_while="waiting", concurrency_key="k")
    assert fresh
    await steps.finish(conn, taken)
    assert await again(conn) == second


async def test_held_for_a_period(conn: Any) -> None:
    """With `unique_for=` the key is held that long from enqueue, whatever becomes of the job."""
    job, _ = await unique(conn, unique_for=3600)
    await verbs.finish(conn, await take(conn))
    assert await again(conn) == job
    await conn.execute(LATER)
    assert await again(conn) is None


async def test_a_period_may_be_over_first(conn: Any) -> None:
    """When the period is over before the job has ended, the key is free; the job's end does not
    free the key of the next one."""
    job, _ = await unique(conn, unique_for=3600)
    taken = await take(conn)
    await conn.execute(LATER)
    second, fresh = await unique(conn)
    assert fresh
    await verbs.finish(conn, taken)
    assert await again(conn) == second != job


async def test_cancelling_frees_the_key(conn: Any) -> None:
    """A cancelled job gives its key back at once; a period goes on."""
    job, _ = await unique(conn)
    await verbs.queries(conn).cancel([job])
    assert await again(conn) is None
    job, _ = await unique(conn, unique_for=60)
    await verbs.queries(conn).cancel([job])
    assert await again(conn) == job


async def test_an_hourly_key(conn: Any) -> None:
    """Two keys of one entrypoint know nothing of each other."""
    first, _ = await unique(conn, "09:00")
    second, fresh = await unique(conn, "10:00")
    assert fresh
    assert first != second


# -- modes --------------------------------------------------------------------------------------


async def test_replace(conn: Any) -> None:
    """`on_duplicate="replace"` cancels the job that has not started, and the new one has its own
    payload and a new id."""
    first, _ = await unique(conn, payload="old")
    second, fresh = await unique(conn, payload="new", on_duplicate="replace")
    assert (fresh, second != first) == (True, True)
    assert (await take(conn)).payload == b"new"
    job = await verbs.queries(conn).get_job(first)
    assert job.error is not None
    assert (job.state.value, job.error["message"]) == ("cancelled", "replaced")


@pytest.mark.parametrize("fields", [{"delay": 60}, {"after": True}, {"unique_for": 60}])
async def test_replace_what_waits_otherwise(conn: Any, fields: dict[str, Any]) -> None:
    """A deferred or a blocked job is replaced as well, and one whose key is held for a period."""
    (other,) = await verbs.enqueue(conn, "other")
    if "after" in fields:
        fields = {"after": [other]}
    await unique(conn, payload="old", **fields)
    second, fresh = await unique(conn, payload="new", on_duplicate="replace")
    assert fresh
    assert await verbs.held_keys(conn) == {"key": second}


async def test_replace_leaves_a_running_job_alone(conn: Any) -> None:
    """A job that has started is not replaced, nor asked to stop: its id is returned."""
    first, _ = await unique(conn)
    taken = await take(conn)
    assert await unique(conn, on_duplicate="replace") == (first, False)
    assert await verbs.count(conn, "pgq_cancels") == 0
    await verbs.finish(conn, taken)
    assert (await unique(conn, on_duplicate="replace"))[1]


async def test_replace_meets_a_claim(conn: Any, connect: Connect) -> None:
    """A job claimed by a transaction that is not committed yet is waited for, and then left alone:
    it is running."""
    first, _ = await unique(conn)
    claiming, observer = await connect(), await connect()
    async with verbs.held(claiming):
        await take(claiming)
        async with verbs.waiting(observer, conn, unique(conn, on_duplicate="replace")) as replacing:
            await claiming.execute(KEEP)
    assert await replacing == (first, False)
    assert await verbs.state(conn, first) == "running"
    assert await verbs.count(conn, "pgq_cancels") == 0


async def test_the_last_replacer_wins(conn: Any, connect: Connect) -> None:
    """Of two that replace the same job at once the second waits, then replaces the first one's."""
    await unique(conn, payload="old")
    other, observer = await connect(), await connect()
    async with verbs.held(conn):
        first, _ = await unique(conn, payload="first", on_duplicate="replace")
        async with verbs.waiting(
            observer, other, unique(other, payload="second", on_duplicate="replace")
        ) as replacing:
            await conn.execute(KEEP)
    second, fresh = await replacing
    assert (fresh, second != first) == (True, True)
    assert (await take(conn)).payload == b"second"


async def test_replacing_in_opposite_order(conn: Any, connect: Connect) -> None:
    """Two calls that replace the same keys in opposite order do not deadlock."""
    other, observer = await connect(), await connect()
    names = ["a", "b", "c", "d"]
    for name in names:
        await unique(conn, name)

    async def replace(on: Any, order: list[str]) -> list[bool]:
        jobs = [NewJob("work", unique_key=name, on_duplicate="replace") for name in order]
        return [made.fresh for made in await verbs.queries(on).enqueue_many(jobs)]

    async with verbs.held(conn):
        assert await replace(conn, ["b"]) == [True]
        async with verbs.waiting(observer, other, replace(other, names[::-1])) as second:
            assert await asyncio.wait_for(replace(conn, ["c", "d"]), 10) == [True, True]
            await conn.execute(KEEP)
    assert await second == [True] * 4
    assert await verbs.count(conn, "pgq_ready") == 4


async def test_replacing_within_one_call(conn: Any) -> None:
    """The same key twice in one call with replace: the later job counts."""
    jobs = [NewJob("work", n, unique_key="key", on_duplicate="replace") for n in range(3)]
    made = await verbs.queries(conn).enqueue_many(jobs)
    assert [one.fresh for one in made] == [True] * 3
    assert (await take(conn)).job_id == made[-1].id


async def test_raise(pgq: PgQueuer) -> None:
    """`on_duplicate="raise"` raises DuplicateJob with the holder's id, and nothing of the call is
    written."""
    first = await pgq.enqueue("work", unique_key="key")
    jobs = [NewJob("work"), NewJob("work", unique_key="key", on_duplicate="raise")]
    with pytest.raises(DuplicateJob) as raised:
        await pgq.enqueue_many(jobs)
    assert (raised.value.job_id, raised.value.unique_key) == (first, "key")
    assert len(await pgq.queries.get_jobs()) == 1
    with pytest.raises(DuplicateJob):
        await pgq.queries.enqueue_many(jobs)
    assert len(await pgq.queries.get_jobs()) == 1


@pytest.mark.parametrize("outside", ["connection", "pool", "driver"])
async def test_raise_without_a_transaction(conn: Any, database: str, outside: str) -> None:
    """On a pool, or a connection without a transaction, nothing of the call is written, too."""
    async with asyncpg.create_pool(database, min_size=0) as pool:
        pgq = PgQueuer(AsyncpgDriver(conn))
        first = await pgq.enqueue("work", unique_key="key")
        where = {"connection": conn, "pool": pool, "driver": None}[outside]
        jobs = [NewJob("other"), NewJob("work", unique_key="key", on_duplicate="raise")]
        with pytest.raises(DuplicateJob) as raised:
            await pgq.enqueue_many(jobs, connection=where)
        assert raised.value.job_id == first
        new = [NewJob("other"), NewJob("work", unique_key="new", on_duplicate="raise")]
        made = await pgq.enqueue_many(new, connection=where)
        assert [job.fresh for job in made] == [True, True]
    assert await verbs.count(conn, "pgq_jobs") == await verbs.count(conn, "pgq_ready") == 3


async def test_raise_leaves_the_callers_transaction_usable(conn: Any) -> None:
    """On the caller's connection the error is raised in Python only: the transaction goes on."""
    pgq = PgQueuer(AsyncpgDriver(conn))
    await pgq.enqueue("work", unique_key="key")
    async with conn.transaction():
        with pytest.raises(DuplicateJob):
            await pgq.enqueue("work", unique_key="key", on_duplicate="raise", connection=conn)
        await pgq.enqueue("other", connection=conn)
    assert await verbs.count(conn, "pgq_jobs") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"unique_for": 60}, {"on_duplicate": "replace"},
        {"unique_key": "k", "on_duplicate": "merge"}, {"unique_key": "k", "unique_while": "ready"},
        {"unique_key": "k", "unique_for": -1}, {"unique_key": "k", "unique_for": 0},
        {"unique_key": "k", "unique_for": "1h"}, {"unique_key": ""},
    ],
)  # fmt: skip
async def test_wrong_options(pgq: PgQueuer, wrong: dict[str, Any]) -> None:
    """Options that do not fit are named before any SQL."""
    with pytest.raises(InvalidInput, match=f"{list(wrong)[-1]}="):
        await pgq.enqueue("work", **wrong)


# -- retry by hand ------------------------------------------------------------------------------


async def test_a_retried_job_takes_its_key_again(conn: Any) -> None:
    """Retrying a failed job takes its key again; if another job holds it, the retry is refused."""
    job = await verbs.worked(conn, "failed", unique_keys="key")
    assert await verbs.queries(conn).retry([job]) == {job: "retried"}
    assert await again(conn) == job
    await verbs.finish(conn, await take(conn), "failed")
    second, _ = await unique(conn)
    assert await verbs.queries(conn).retry([job]) == {job: "held"}
    assert await verbs.held_keys(conn) == {"key": second}


async def test_retrying_within_its_own_period(conn: Any) -> None:
    """A job whose key is still held by its own period can be retried, and the period stays."""
    job, _ = await unique(conn, unique_for=3600)
    await verbs.finish(conn, await take(conn), "failed")
    assert await verbs.queries(conn).retry([job]) == {job: "retried"}
    await verbs.finish(conn, await take(conn))
    assert await again(conn) == job


async def test_retrying_after_its_own_period(conn: Any) -> None:
    """A job that is retried when its period is over holds its key until it has ended."""
    job, _ = await unique(conn, unique_for=3600)
    await verbs.finish(conn, await take(conn), "failed")
    await conn.execute(LATER)
    assert await verbs.queries(conn).retry([job]) == {job: "retried"}
    assert await again(conn) == job
    await verbs.finish(conn, await take(conn))
    assert await again(conn) is None


async def test_retrying_two_of_one_key(conn: Any) -> None:
    """Of several finished jobs of one key a call brings back the first; the rest are held."""
    jobs = [await verbs.worked(conn, "failed", unique_keys="key") for _ in range(3)]
    verdicts = await verbs.queries(conn).retry(jobs)
    assert verdicts == {jobs[0]: "retried", jobs[1]: "held", jobs[2]: "held"}


async def test_a_key_of_a_claim_given_back(conn: Any) -> None:
    """A job that is interrupted or lost keeps its key; one that failed with its worker frees it."""
    job, _ = await unique(conn)
    await verbs.finish(conn, await take(conn), "interrupted")
    assert await again(conn) == job
    worker = await verbs.register(conn)
    (taken,) = (await verbs.claim(conn, worker=worker)).jobs
    assert await verbs.crashed(conn, taken, worker) == "lost"
    assert await again(conn) == job
    await unique(conn, "once", max_attempts=1)
    worker = await verbs.register(conn)
    taken = next(t for t in (await verbs.claim(conn, worker=worker)).jobs if t.job_id != job)
    assert await verbs.crashed(conn, taken, worker) == "failed"
    assert await again(conn, "once") is None


# -- races --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["keep", "replace"])
async def test_many_connections_one_winner(conn: Any, connect: Connect, mode: str) -> None:
    """However many connections enqueue the same key at once, one job is left waiting."""
    others = [await connect() for _ in range(12)]
    made = await asyncio.gather(*(unique(on, on_duplicate=mode) for on in others))
    (waiting,) = (await verbs.claim(conn)).ids
    if mode == "keep":
        assert {job for job, _ in made} == {waiting}
        assert [fresh for _, fresh in made].count(True) == 1
    else:
        assert waiting in {job for job, _ in made}
        assert await verbs.count(conn, "pgq_jobs") == 12


# -- tasks --------------------------------------------------------------------------------------


async def test_the_arguments_as_the_key(pgq: PgQueuer) -> None:
    """`unique="args"`: the same call twice is one job, in whatever order arguments are given."""

    @pgq.task(unique="args", unique_for=3600)
    async def report(customer: int, month: str) -> None: ...

    first = await report.enqueue(7, "2026-01")
    assert await report.enqueue(month="2026-01", customer=7) == first
    assert await report.enqueue(8, "2026-01") != first
    assert await report.using(unique_key="mine").enqueue(7, "2026-01") != first
    made = await pgq.enqueue_many([report.job(7, "2026-01"), report.job(9, "2026-01")])
    assert [one.fresh for one in made] == [False, True]


async def test_wrong_uniqueness_of_a_task(pgq: PgQueuer) -> None:
    """An unknown way to be unique, or a period without a key, is refused where it is declared."""
    with pytest.raises(InvalidInput, match="unique='payload'"):
        pgq.task(unique="payload")
    with pytest.raises(InvalidInput, match="unique_for= needs"):
        pgq.task(unique_for=60)
