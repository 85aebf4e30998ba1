"""Throughput while another session keeps vacuum from cleaning, after many jobs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.stand import Stand, fill, median
from pgq_core import Job


async def last_part(stand: Stand, pin: str, warm: int, count: int) -> float:
    """Jobs per second over the last `count` jobs, after `warm` jobs under the pin."""
    async with stand.queue() as pgq:

        @pgq.entrypoint("noop")
        async def noop(job: Job) -> None:
            pass

        holder = await stand.connect()
        schema = pgq.queries.schema
        await holder.execute(f'CREATE TABLE "{schema}".other (id int)')
        if pin != "free":
            await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await holder.execute(f'SELECT count(*) FROM "{schema}".other')
        if pin == "writer":
            await holder.execute(f'INSERT INTO "{schema}".other VALUES (1)')
        for part in (warm, count):
            await fill(pgq, part)
            started = time.perf_counter()
            await pgq.run(concurrency=500, until_empty=True)
            elapsed = time.perf_counter() - started
        await holder.close()
        return count / elapsed


async def figure(stand: Stand) -> dict[str, Any]:
    """Free, a reader's snapshot, an idle transaction that has written; in turn, medians."""
    warm, count = stand.size(60_000, 200_000), stand.size(20_000, 50_000)
    runs: dict[str, list[float]] = {"free": [], "reader": [], "writer": []}
    for _ in range(stand.rounds):
        for pin, values in runs.items():
            values.append(await last_part(stand, pin, warm, count))
            await asyncio.sleep(0)
    return {**{pin: median(values) for pin, values in runs.items()}, "warm": warm}
