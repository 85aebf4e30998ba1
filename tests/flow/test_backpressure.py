"""Backpressure: a queue may be only so deep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from pgq_core import Job, NewJob, PgQueuer
from pgq_core.errors import QueueFull
from tests.flow import steps
from tests.sql import verbs
from tests.worker.harness import working


@pytest.fixture
async def narrow(database: str) -> AsyncIterator[PgQueuer]:
    """A PgQueuer whose queue `default` holds ten jobs, and `mail` as many as one likes."""
    async with PgQueuer.connect(database, max_depth={"default": 10}) as pgq:
        yield pgq


async def fill(pgq: PgQueuer, count: int, **fields: Any) -> None:
    await pgq.enqueue_many([NewJob("work", **fields)] * count)


async def test_a_full_queue(narrow: PgQueuer, conn: Any) -> None:
    """Enqueue raises QueueFull, naming queue and depth, before anything is written; other queues are
    not concerned."""
    await fill(narrow, 10)
    with pytest.raises(QueueFull, match="'default' holds 10 jobs") as raised:
        await narrow.enqueue("work")
    assert (raised.value.queue, raised.value.depth) == ("default", 10)
    with pytest.raises(QueueFull):
        await narrow.enqueue_many([NewJob("work", queue="mail"), NewJob("work")])
    await narrow.enqueue("work", queue="mail")
    assert await verbs.count(conn, "pgq_jobs") == 11


async def test_a_call_fits_or_not(narrow: PgQueuer, conn: Any) -> None:
    """A call is let in whole or not at all."""
    await fill(narrow, 6)
    with pytest.raises(QueueFull):
        await fill(narrow, 5)
    with pytest.raises(QueueFull):  # what it had taken of its own queue is given back
        await narrow.enqueue_many([NewJob("work", queue="mail")] * 3 + [NewJob("work")] * 5)
    await fill(narrow, 4)
    assert await verbs.count(conn, "pgq_jobs") == 10
    assert narrow.pressure._flying["default"] == 0


async def test_what_counts(narrow: PgQueuer, conn: Any) -> None:
    """Jobs that are due count, ready or parked at a busy key; deferred ones, running ones and those
    of other queues do not."""
    await fill(narrow, 8, delay=3600)
    await verbs.enqueue(conn, "other", 8, queues="mail")
    await fill(narrow, 10, concurrency_key="k")
    assert len((await steps.claim_limited(conn, entrypoint="work", count=1)).jobs) == 1
    assert await verbs.count(conn, "pgq_blocked") > 0
    assert await narrow.queries.depth("default", 100) == 9
    assert await narrow.queries.depth("default", 5) == 5


async def test_room_again(narrow: PgQueuer, conn: Any) -> None:
    """Once jobs have been taken there is room again; a reading is a tenth of a second old at most."""
    await fill(narrow, 10)
    await verbs.finish(conn, (await verbs.claim(conn, 3)).jobs)
    await asyncio.sleep(0.11)
    await fill(narrow, 3)
    with pytest.raises(QueueFull):
        await fill(narrow, 1)


async def test_what_others_enqueue_is_seen(narrow: PgQueuer, conn: Any) -> None:
    """The bound is over all producers: what another process has enqueued counts a moment later."""
    await fill(narrow, 1)
    await verbs.insert(conn, "work", 50)
    await asyncio.sleep(0.11)
    with pytest.raises(QueueFull):
        await fill(narrow, 1)


async def test_a_burst_does_not_overshoot(narrow: PgQueuer, conn: Any) -> None:
    """One process counts what it has enqueued itself: many concurrent calls do not overshoot."""
    results = await asyncio.gather(*(fill(narrow, 1) for _ in range(50)), return_exceptions=True)
    assert sum(result is None for result in results) == 10
    assert {type(result) for result in results if result is not None} == {QueueFull}
    assert await verbs.count(conn, "pgq_jobs") == 10


async def test_patience(narrow: PgQueuer) -> None:
    """With `patience=` a producer waits for room, and goes on as soon as there is some."""

    @narrow.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(0.05)

    await fill(narrow, 10)
    async with working(narrow, concurrency=5):
        began = time.monotonic()
        for _ in range(20):
            await narrow.enqueue("work", patience=10)
        assert time.monotonic() - began < 8


async def test_patience_ends(narrow: PgQueuer) -> None:
    """When the time is over and there is still no room, QueueFull is raised."""
    await fill(narrow, 10)
    began = time.monotonic()
    with pytest.raises(QueueFull):
        await narrow.enqueue("work", patience=0.3)
    assert 0.3 <= time.monotonic() - began < 2


async def test_in_the_callers_transaction(narrow: PgQueuer, conn: Any) -> None:
    """On the caller's connection a full queue is an error in Python only; the transaction goes on."""
    await fill(narrow, 10)
    async with conn.transaction():
        with pytest.raises(QueueFull):
            await narrow.enqueue("work", connection=conn)
        assert await conn.fetchval("SELECT count(*) FROM pgq_jobs") == 10


async def test_on_a_connection_alone(database: str, conn: Any) -> None:
    """A PgQueuer that only has the caller's connection keeps the bound as well."""
    pgq = PgQueuer(max_depth={"default": 2})
    async with conn.transaction():
        await pgq.enqueue_many([NewJob("work")] * 2, connection=conn)
        with pytest.raises(QueueFull):
            await pgq.enqueue("work", connection=conn)


def test_for_plain_functions(database: str) -> None:
    """`enqueue_sync` keeps the bound too, and waits if told to."""
    pgq = PgQueuer(max_depth={"default": 2})
    with psycopg.connect(database) as connection:
        pgq.enqueue_many_sync([NewJob("work")] * 2, connection=connection)
        with pytest.raises(QueueFull):
            pgq.enqueue_sync("work", connection=connection)
        began = time.monotonic()
        with pytest.raises(QueueFull):
            pgq.enqueue_sync("work", connection=connection, patience=0.2)
        assert time.monotonic() - began >= 0.2
        assert connection.execute("SELECT count(*) FROM pgq_jobs").fetchone() == (2,)


async def test_no_bound_no_question(pgq: PgQueuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `max_depth` nobody looks how deep a queue is."""

    async def never(*_: Any, **__: Any) -> int:
        raise AssertionError

    monkeypatch.setattr(pgq.queries, "depth", never)
    await pgq.enqueue("work")


async def test_counting_is_bounded(conn: Any) -> None:
    """The depth is counted no further than asked: 50,000 jobs cost as much as 1,000."""
    await verbs.insert(conn, "work", 1000)
    few = await verbs.buffers(conn, "depth", queue="default", limit=100)
    await verbs.insert(conn, "work", 49_000)
    assert await verbs.buffers(conn, "depth", queue="default", limit=100) <= few + 5
