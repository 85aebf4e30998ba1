"""How long after a SIGKILL the interrupted jobs start again on a worker that had nothing to do."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

from benchmarks.stand import Stand, percentile, until
from pgq_core import NewJob

HELD = 20


async def one_kill(stand: Stand) -> list[float]:
    """Seconds from the kill to the next start of each job the dead process held."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        async with stand.queue() as pgq:
            schema = pgq.queries.schema
            async with stand.worker(schema, log=str(log), concurrency=HELD) as victim:
                await pgq.enqueue_many([NewJob("hold", "60")] * HELD, check=False)

                async def held() -> bool:
                    return log.exists() and len(log.read_text().splitlines()) >= HELD

                await until(held)
                async with stand.worker(
                    schema, log=str(log), concurrency=HELD, shutdown_timeout=0
                ) as _:
                    await asyncio.sleep(random.uniform(3, 5))  # its looks have become rare
                    killed = time.time()
                    victim.kill()

                    async def again() -> bool:
                        return len(log.read_text().splitlines()) >= 2 * HELD

                    await until(again)
                    lines = [line.split() for line in log.read_text().splitlines()]
                    return [float(line[1]) - killed for line in lines[HELD:]]


async def figure(stand: Stand) -> dict[str, float]:
    """Median and worst over a few kills."""
    values: list[float] = []
    for _ in range(stand.size(4, 20)):
        values += await one_kill(stand)
    return {"p50": percentile(values, 0.5), "max": max(values)}
