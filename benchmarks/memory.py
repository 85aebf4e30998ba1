"""What a worker process takes with a thousand jobs waiting, and with a million."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from benchmarks.stand import Stand, scalar
from pgq_core import PgQueuer

WORKED = 20_000
LOAD = """
INSERT INTO {s}.pgq_jobs (entrypoint, payload)
SELECT 'noop', convert_to(repeat('x', 200), 'UTF8') FROM generate_series(1, {count})
"""


async def figure(stand: Stand) -> dict[str, Any]:
    """The most megabytes a worker takes while it runs 20,000 jobs, by how many wait beside them."""
    async with stand.queue() as pgq:
        await load(pgq, WORKED + 1000)
        few = await peak(stand, pgq)
        await load(pgq, 1_000_000 + WORKED - 1000)
        many = await peak(stand, pgq)
        waiting = await scalar(pgq, "SELECT count(*) FROM {s}.pgq_ready")
    return {"few": few, "many": many, "waiting": waiting}


async def load(pgq: PgQueuer, count: int) -> None:
    """So many jobs of 200 bytes, by one statement."""
    text = LOAD.replace("{s}", pgq.queries.schema).replace("{count}", str(count))
    await pgq.queries.driver.execute(text)


async def peak(stand: Stand, pgq: PgQueuer) -> float:
    """The most memory a worker has had, in megabytes, when it has run its share."""
    most = 0
    async with stand.worker(pgq.queries.schema, max_jobs=WORKED) as process:
        while process.returncode is None:
            most = resident(process.pid) or most
            await asyncio.sleep(0.02)
    return most / 1024


def resident(pid: int) -> int:
    """The most kilobytes a process has had so far; 0 when it has ended."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0
