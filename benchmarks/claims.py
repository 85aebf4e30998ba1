"""The cost of one claim: with little and with a million waiting, and over many empty lanes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from benchmarks.drain import claim
from benchmarks.stand import Stand, fill, median, on
from pgq_core import NewJob

REPEAT = 10
Kind = Callable[[Any], Awaitable[list[str]]]


class Claimer:
    """A connection that claims 100 from some lanes, and rolls back."""

    def __init__(self, connection: Any, schema: str, lanes: list[int]) -> None:
        self.connection = connection
        self.queries = on(connection, schema)
        self.lanes = lanes
        self.times: list[float] = []

    async def claim(self) -> None:
        """A few times, each time noted in milliseconds."""
        for _ in range(REPEAT):
            transaction = self.connection.transaction()
            await transaction.start()
            started = time.perf_counter()
            jobs = await claim(self.queries, 1, self.lanes, 0, 100)
            self.times.append((time.perf_counter() - started) * 1000)
            assert len(jobs) == 100
            await transaction.rollback()


@asynccontextmanager
async def claimer(stand: Stand, fill_up: Kind) -> AsyncIterator[Claimer]:
    """On a queue that was filled like this."""
    async with stand.queue() as pgq:
        names = await fill_up(pgq)
        connection = await stand.connect()
        schema = pgq.queries.schema
        await connection.execute("VACUUM (ANALYZE)")  # as autovacuum would, in a while
        rows = await on(connection, schema).call("lanes", entrypoints=names, queues=None)
        try:
            yield Claimer(connection, schema, [row["lane_id"] for row in rows])
        finally:
            await connection.close()


def backlog(ready: int, deferred: int) -> Kind:
    """So much waiting."""

    async def fill_up(pgq: Any) -> list[str]:
        await fill(pgq, ready)
        await fill(pgq, deferred, delay=86400)
        return ["noop"]

    return fill_up


def many_lanes(lanes: int, full: int) -> Kind:
    """So many lanes, `full` of them with jobs."""

    async def fill_up(pgq: Any) -> list[str]:
        names = [f"lane{i}" for i in range(lanes)]
        await pgq.enqueue_many([NewJob(name) for name in names], check=False)
        await pgq.queries.driver.execute(f'DELETE FROM "{pgq.queries.schema}".pgq_ready')
        for name in names[-full:]:
            await fill(pgq, 1000, name)
        # A worker probes at most 64 of the lanes it has seen empty in one claim.
        return names[-(full + 64) :] if lanes > full + 64 else names

    return fill_up


async def beside_flow(pgq: Any) -> list[str]:
    """Ordinary jobs where every feature of flow is in use."""
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
    return ["noop"]


async def figure(stand: Stand) -> dict[str, float]:
    """Small and large backlogs, beside flow, ten and a thousand lanes: in turn, medians."""
    large = stand.size(200_000, 1_000_000)
    kinds = {
        "small": backlog(1_000, 1_000),
        "large": backlog(large, large),
        "flow": beside_flow,
        "ten": many_lanes(10, 10),
        "thousand": many_lanes(1000, 10),
    }
    async with AsyncExitStack() as stack:
        claimers = {
            name: await stack.enter_async_context(claimer(stand, kind))
            for name, kind in kinds.items()
        }
        for _ in range(3 * stand.rounds):
            for each in claimers.values():
                await each.claim()
        return {"rows": large, **{name: median(each.times) for name, each in claimers.items()}}
