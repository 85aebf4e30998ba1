"""The cost of one claim: with little and with a million waiting, and over many empty lanes."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.drain import claim
from benchmarks.stand import Stand, fill, median, on
from pgq_core import NewJob


async def timed(stand: Stand, pgq: Any, names: list[str], repeat: int) -> float:
    """Milliseconds of a claim of 100, rolled back each time; the median."""
    connection = await stand.connect()
    queries = on(connection, pgq.queries.schema)
    await connection.execute("VACUUM (ANALYZE)")  # as autovacuum would, in a while
    lanes = [row["lane_id"] for row in await queries.call("lanes", entrypoints=names, queues=None)]
    times = []
    for _ in range(repeat):
        transaction = connection.transaction()
        await transaction.start()
        started = time.perf_counter()
        jobs = await claim(queries, 1, lanes, 0, 100)
        times.append(time.perf_counter() - started)
        assert len(jobs) == 100
        await transaction.rollback()
    await connection.close()
    return median(times) * 1000


async def backlog(stand: Stand, ready: int, deferred: int) -> float:
    """Milliseconds of a claim with so much waiting."""
    async with stand.queue() as pgq:
        await fill(pgq, ready)
        await fill(pgq, deferred, delay=86400)
        return await timed(stand, pgq, ["noop"], 30)


async def many_lanes(stand: Stand, lanes: int, full: int) -> float:
    """Milliseconds of a claim over so many lanes, `full` of them with jobs."""
    async with stand.queue() as pgq:
        names = [f"lane{i}" for i in range(lanes)]
        await pgq.enqueue_many([NewJob(name) for name in names], check=False)
        connection = await stand.connect()
        await connection.execute(f'DELETE FROM "{pgq.queries.schema}".pgq_ready')
        await connection.close()
        for name in names[-full:]:
            await fill(pgq, 1000, name)
        # A worker probes at most 64 of the lanes it has seen empty in one claim.
        served = names[-(full + 64) :] if lanes > full + 64 else names
        return await timed(stand, pgq, served, 30)


async def beside_flow(stand: Stand) -> float:
    """Milliseconds of a claim of ordinary jobs where every feature of flow is in use."""
    async with stand.queue() as pgq:
        await fill(pgq, 1000)
        for n in range(50):
            await pgq.queries.set_schedule(f"s{n}", "0 0 1 1 *", entrypoint="work")
        await pgq.queries.call(
            "declare_limits", unlimited=[], entrypoints=["limited"], concurrencies=[2], rates=[1000],
            periods=[1.0], bursts=[1], per_keys=[False],
        )  # fmt: skip
        numbers = range(5000)
        (first, *_) = await pgq.enqueue_many([NewJob("limited")] * 5000, check=False)
        for jobs in (
            [NewJob("keyed", concurrency_key=str(n % 50)) for n in numbers],
            [NewJob("unique", unique_key=str(n)) for n in numbers],
            [NewJob("after", after=[first.id]) for _ in numbers],
        ):
            await pgq.enqueue_many(jobs, check=False)
        await pgq.queries.pause(entrypoint="limited")
        return await timed(stand, pgq, ["noop"], 30)


async def figure(stand: Stand) -> dict[str, float]:
    """Small and large backlogs, ten and a thousand lanes."""
    large = stand.size(200_000, 1_000_000)
    return {
        "small": await backlog(stand, 1_000, 1_000),
        "large": await backlog(stand, large, large),
        "rows": large,
        "flow": await beside_flow(stand),
        "ten": await many_lanes(stand, 10, 10),
        "thousand": await many_lanes(stand, 1000, 10),
    }
