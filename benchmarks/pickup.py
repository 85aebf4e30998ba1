"""From commit to handler: on an idle worker, and among producers whose transactions overlap."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.stand import Stand, percentile, scalar, until

INSERT = "INSERT INTO \"{}\".pgq_jobs (entrypoint) VALUES ('note') RETURNING id"


def starts(path: Path) -> dict[int, float]:
    """When each job's handler started."""
    return {
        int(a): float(b) for a, b in (line.split()[:2] for line in path.read_text().splitlines())
    }


async def alone(stand: Stand, count: int) -> list[float]:
    """Milliseconds from the commit's return to the handler's start, one job at a time."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        async with stand.queue() as pgq, stand.worker(pgq.queries.schema, log=str(log)):
            connection = await stand.connect()
            committed: dict[int, float] = {}
            for _ in range(count):
                await asyncio.sleep(random.uniform(0.05, 0.25))
                job = await connection.fetchval(INSERT.format(pgq.queries.schema))
                committed[job] = time.time()
            await settled(pgq, count)
            await connection.close()
            return delays(committed, starts(log))


async def overlapping(stand: Stand, producers: int, seconds: float) -> list[float]:
    """The same with producers that commit up to 50 ms after they insert, out of order."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        async with stand.queue() as pgq, stand.worker(pgq.queries.schema, log=str(log)):
            committed: dict[int, float] = {}
            end = time.monotonic() + seconds

            async def produce() -> None:
                connection = await stand.connect()
                while time.monotonic() < end:
                    async with connection.transaction():
                        job = await connection.fetchval(INSERT.format(pgq.queries.schema))
                        await asyncio.sleep(random.uniform(0, 0.05))
                    committed[job] = time.time()
                await connection.close()

            await asyncio.gather(*[produce() for _ in range(producers)])
            await settled(pgq, len(committed))
            return delays(committed, starts(log))


async def settled(pgq: Any, count: int) -> None:
    """Every job has its outcome."""

    async def done() -> bool:
        return bool(await scalar(pgq, "SELECT count(*) >= $1 FROM {s}.pgq_attempts", count))

    await until(done)


def delays(committed: dict[int, float], started: dict[int, float]) -> list[float]:
    """Milliseconds; a handler may start before the commit's answer has arrived: that is 0."""
    return [max(0.0, started[job] - moment) * 1000 for job, moment in committed.items()]


async def figure(stand: Stand) -> dict[str, float]:
    """Percentiles of both."""
    idle = await alone(stand, stand.size(80, 400))
    busy = await overlapping(stand, 10, 20.0 if stand.long else 6.0)
    return {
        "idle_p50": percentile(idle, 0.5),
        "idle_p99": percentile(idle, 0.99),
        "busy_p50": percentile(busy, 0.5),
        "busy_p99": percentile(busy, 0.99),
    }
