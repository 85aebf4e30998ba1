"""None of this costs ordinary jobs anything: statements and blocks, with and without."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from pgq_core import NewJob, PgQueuer
from pgq_core.queries import Queries
from pgq_core.worker.line import Line
from tests.flow import steps
from tests.sql import verbs
from tests.sql.verbs import UNDO
from tests.worker.harness import asleep, working

Connect = Callable[..., Awaitable[Any]]


async def claim_cost(on: Any, *, look: bool) -> int:
    """The blocks that a claim of ten ordinary jobs touches, rolled back; warm."""
    lanes, cost = [await verbs.lane(on, "plain")], 0
    for _ in range(3):
        async with verbs.held(on, end=UNDO):
            cost = await verbs.claim_buffers(on, 10, lanes=lanes, look=look, schedules=["s0"])
    return cost


async def everything(on: Any, queries: Queries) -> None:
    """A database in which every feature is used."""
    for n in range(50):
        await queries.set_schedule(f"s{n}", "0 0 1 1 *", entrypoint="work")
    at = datetime(2037, 1, 1, tzinfo=timezone.utc)
    await on.execute("UPDATE pgq_schedules SET next_at = $1", at)
    await steps.limit(on, "limited", concurrency=2, rate=1000, period=1.0)
    await verbs.insert(on, "limited", 5000)
    await on.execute(
        "INSERT INTO pgq_jobs (entrypoint, concurrency_key) "
        "SELECT 'keyed', (n % 50)::text FROM generate_series(1, 5000) AS n"
    )
    for _ in range(5):
        await steps.claim_limited(on, 100)
    await on.execute(
        "INSERT INTO pgq_jobs (entrypoint, unique_key) "
        "SELECT 'unique', n::text FROM generate_series(1, 5000) AS n"
    )
    await on.execute(
        "INSERT INTO pgq_jobs (entrypoint, run_at) "
        "SELECT 'later', now() + interval '1 day' FROM generate_series(1, 20000)"
    )
    (first,) = await verbs.enqueue(on, "first")
    await steps.add(on, *[NewJob("after", after=[first]) for _ in range(500)])
    await queries.pause(entrypoint="first")


@pytest.mark.parametrize("look", [False, True], ids=["claim", "claim and look"])
async def test_a_claim_of_ordinary_jobs(conn: Any, queries: Queries, look: bool) -> None:
    """With schedules, limits, keys, unique jobs, deferred jobs, dependencies and pauses in use, a
    claim of ordinary jobs touches the blocks it touched before, and a look a few more."""
    await verbs.insert(conn, "plain", 200)
    before = await claim_cost(conn, look=look)
    await everything(conn, queries)
    await conn.execute("VACUUM ANALYZE")
    assert await claim_cost(conn, look=look) <= before + (40 if look else 5)


async def test_enqueue_of_ordinary_jobs(conn: Any, queries: Queries) -> None:
    """Nor does enqueueing an ordinary job cost more, whatever else waits."""

    async def cost() -> int:
        found = 0
        for _ in range(3):
            async with verbs.held(conn, end=UNDO):
                found = await verbs.buffers(
                    conn, "insert_job", entrypoint="plain", priority=5, queue="default"
                )
        return found

    await verbs.insert(conn, "plain", 200)
    before = await cost()
    await everything(conn, queries)
    assert await cost() <= before + 8


async def statements(pgq: PgQueuer, count: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a worker sends which statement while it runs so many ordinary jobs."""
    sent: Counter[str] = Counter()
    call = Line.call

    async def counted(line: Line, statement: str, /, **values: Any) -> Any:
        sent[statement] += 1
        return await call(line, statement, **values)

    monkeypatch.setattr(Line, "call", counted)
    done = asyncio.Event()
    left = count

    @pgq.entrypoint("plain")
    async def plain(job: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    await pgq.queries.enqueue(["plain"] * count)
    async with working(pgq, concurrency=100):
        await asyncio.wait_for(done.wait(), 30)
    return sent


async def test_the_statements_of_ordinary_jobs(
    pgq: PgQueuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that runs ordinary jobs sends claims and finishes, as many as their batches need, and
    nothing about limits, schedules or dependencies."""
    sent = await statements(pgq, 3000, monkeypatch)
    assert sent.keys() <= {"claim", "finish", "lanes", "own_leases", "unregister_worker", "pass_on"}
    assert sent["claim"] + sent["finish"] < 300


async def test_an_idle_worker_with_everything_in_use(
    pgq: PgQueuer, conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle worker with schedules, limits and blocked jobs around looks and sweeps about once a
    second, no more."""
    sent: Counter[str] = Counter()

    @pgq.entrypoint("limited", concurrency_limit=1)
    async def limited(job: Any) -> None:
        await asyncio.sleep(60)

    pgq.schedule("yearly", "0 0 1 1 *")(lambda schedule: None)
    call = Line.call

    async def counted(line: Line, statement: str, /, **values: Any) -> Any:
        sent[statement] += 1
        return await call(line, statement, **values)

    await pgq.queries.enqueue(["limited"] * 500)
    await pgq.queries.enqueue(["limited"] * 500, concurrency_keys="k")
    async with working(pgq, shutdown_timeout=0.0) as worker:
        await asleep(worker, 0.4)
        monkeypatch.setattr(Line, "call", counted)
        await asyncio.sleep(3.0)
    assert sent["sweep"] <= 4
    assert sent["claim"] <= 9
    assert sent["claim_limited"] <= 9
