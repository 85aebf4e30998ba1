"""Enqueue on the caller's connection, whatever it is: in its transaction, and kind to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pgq_core import NewJob, errors
from tests.connections.conftest import Outside
from tests.connections.desks import Desk

KEPT = "CREATE TABLE IF NOT EXISTS kept (what text); INSERT INTO kept VALUES ('yes')"


async def keep(desk: Desk) -> None:
    """Something of the caller's own in the same transaction: it must still be usable."""
    for statement in KEPT.split(";"):
        await desk.do(desk.execute, statement)


async def kept(outside: Outside) -> bool:
    exists = await outside.connection.fetchval("SELECT to_regclass('kept') IS NOT NULL")
    return bool(exists and await outside.connection.fetchval("SELECT count(*) FROM kept"))


async def test_job_appears_with_the_commit(desk: Desk, outside: Outside) -> None:
    """A job enqueued on your connection is seen by nobody before your commit, by all after it."""
    id_ = await desk.enqueue(payload={"to": "ann"})
    await keep(desk)
    assert await outside.ids() == []
    await desk.do(desk.commit)
    assert await outside.ids() == [id_]
    assert await outside.pointers() == 1
    assert await kept(outside)


async def test_job_is_gone_with_the_rollback(desk: Desk, outside: Outside) -> None:
    """If your transaction rolls back the job is gone, also when it was the first statement."""
    await desk.enqueue()
    await desk.do(desk.rollback)
    assert await outside.ids() == []
    assert await outside.pointers() == 0


async def test_job_after_own_statement_is_gone_too(desk: Desk, outside: Outside) -> None:
    """It makes no difference whether your own statements come before the job or after it."""
    await keep(desk)
    await desk.enqueue()
    await desk.do(desk.rollback)
    assert await outside.ids() == []
    assert not await kept(outside)


async def test_rolled_back_savepoint_takes_only_its_own_job(desk: Desk, outside: Outside) -> None:
    """A savepoint that rolls back takes the jobs enqueued in it along, and no others."""
    first = await desk.enqueue()
    async with desk.rolled_back_savepoint():
        await desk.enqueue()
    last = await desk.enqueue()
    await keep(desk)
    await desk.do(desk.commit)
    assert await outside.ids() == [first, last]
    assert await outside.pointers() == 2
    assert await kept(outside)


async def test_many_jobs_keep_their_order_and_fields(desk: Desk, outside: Outside) -> None:
    """Many jobs go out in one statement; ids come back in input order, every field arrives."""
    due = datetime.now(timezone.utc) + timedelta(hours=1)
    jobs = [
        NewJob("plain"),
        NewJob("full", b"\x00\xff", 0, "bulk", None, due, "key", "group", {"a": "é:%"}, 3, 1.5),
        NewJob("later", "text: 100% 'quoted' \\ :name $1", delay=60),
        NewJob("plain", {"n": [1, None]}, priority=-32768),
    ]
    made = await desk.enqueue_many(jobs)
    await keep(desk)
    await desk.do(desk.commit)
    rows = await outside.rows()
    assert [job.id for job in made] == [row["id"] for row in rows]
    assert all(job.fresh for job in made)
    full = rows[1]
    assert full["payload"] == b"\x00\xff"
    assert (full["priority"], full["queue"], full["run_at"]) == (0, "bulk", due)
    assert (full["unique_key"], full["concurrency_key"]) == ("key", "group")
    assert (full["max_attempts"], full["timeout"]) == (3, 1.5)
    assert full["headers"] == '{"a": "é:%"}'
    assert rows[2]["payload"] == b"text: 100% 'quoted' \\ :name $1"
    assert rows[2]["run_at"] > datetime.now(timezone.utc)
    assert (rows[3]["payload"], rows[3]["priority"]) == (b'{"n": [1, null]}', -32768)
    assert rows[0]["payload"] is None


async def test_one_job_keeps_its_fields(desk: Desk, outside: Outside) -> None:
    """A single job carries every option on every connection."""
    due = datetime.now(timezone.utc) + timedelta(hours=1)
    await desk.enqueue(
        payload="50% :a $1", run_at=due, priority=1, queue="q", concurrency_key="k",
        headers={"a::b": "%(x)s"}, max_attempts=2, timeout=9,
    )  # fmt: skip
    await desk.enqueue(delay=timedelta(seconds=90))
    await desk.do(desk.commit)
    one, later = await outside.rows()
    assert (one["payload"], one["run_at"]) == (b"50% :a $1", due)
    assert (one["priority"], one["queue"], one["concurrency_key"]) == (1, "q", "k")
    assert one["headers"] == '{"a::b": "%(x)s"}'
    assert (one["max_attempts"], one["timeout"]) == (2, 9.0)
    assert later["run_at"] > datetime.now(timezone.utc) + timedelta(seconds=30)


async def test_a_thousand_jobs_at_once(desk: Desk, outside: Outside) -> None:
    """A thousand jobs are one statement on every connection."""
    made = await desk.enqueue_many([NewJob("mail", str(n)) for n in range(1000)])
    await desk.do(desk.commit)
    rows = await outside.rows()
    assert [job.id for job in made] == [row["id"] for row in rows]
    assert [row["payload"] for row in rows] == [str(n).encode() for n in range(1000)]


async def test_duplicate_key_gives_the_holder_and_breaks_nothing(
    desk: Desk, outside: Outside
) -> None:
    """A duplicate unique key returns the job that holds it; your transaction goes on."""
    first = await desk.enqueue(unique_key="once")
    again = await desk.enqueue(unique_key="once")
    both = await desk.enqueue_many([NewJob("mail", unique_key="once"), NewJob("mail")])
    await keep(desk)
    await desk.do(desk.commit)
    assert again == first
    assert (both[0].id, both[0].fresh, both[1].fresh) == (first, False, True)
    assert await outside.ids() == [first, both[1].id]
    assert await kept(outside)


async def test_a_duplicate_that_raises_takes_the_call_back(desk: Desk, outside: Outside) -> None:
    """With `on_duplicate="raise"` a duplicate undoes what its call wrote, and nothing else of your
    transaction."""
    first = await desk.enqueue(unique_key="once")
    with pytest.raises(errors.DuplicateJob) as raised:
        await desk.enqueue_many(
            [NewJob("mail"), NewJob("mail", unique_key="once", on_duplicate="raise")]
        )
    await keep(desk)
    await desk.do(desk.commit)
    assert raised.value.job_id == first
    assert await outside.ids() == [first]
    assert await outside.pointers() == 1
    assert await kept(outside)


async def test_holder_committed_by_somebody_else(desk: Desk, outside: Outside) -> None:
    """A key held by a job from another transaction gives that job's id, without an error."""
    held = await outside.connection.fetchval(
        "INSERT INTO pgq_jobs (entrypoint, unique_key) VALUES ('mail', 'once') RETURNING id"
    )
    assert await desk.enqueue(unique_key="once") == held
    await keep(desk)
    await desk.do(desk.commit)
    assert await outside.ids() == [held]
    assert await kept(outside)


async def test_bad_input_leaves_the_transaction_usable(desk: Desk, outside: Outside) -> None:
    """What cannot be enqueued is refused before any SQL: your transaction does not notice."""
    await keep(desk)
    naive = datetime.now()  # noqa: DTZ005  (that is the mistake)
    for options in ({"headers": {"a": "\x00"}}, {"priority": 40000}, {"run_at": naive}):
        with pytest.raises(errors.InvalidInput):
            await desk.enqueue(**options)
    id_ = await desk.enqueue()
    await desk.do(desk.commit)
    assert await outside.ids() == [id_]
    assert await kept(outside)


async def test_another_search_path_does_not_matter(desk: Desk, outside: Outside) -> None:
    """The tables are found whatever search_path your connection has."""
    await desk.do(desk.execute, "SET LOCAL search_path TO pg_temp")
    id_ = await desk.enqueue()
    keyed = await desk.enqueue(unique_key="k")
    await desk.do(desk.commit)
    assert await outside.ids() == [id_, keyed]
