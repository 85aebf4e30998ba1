"""Enqueue: single-job transactions from 32 connections while a worker runs."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

from benchmarks.stand import PAYLOAD, Stand, median, steady

CONNECTIONS = 32
PLAIN = """
CREATE TABLE "{s}".plain (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entrypoint text NOT NULL,
    payload bytea
)
"""


async def hammer(stand: Stand, text: str, seconds: float) -> float:
    """That INSERT, one transaction each, as fast as it goes; per second."""
    connections = [await stand.connect() for _ in range(CONNECTIONS)]
    statements = [await connection.prepare(text) for connection in connections]
    rate = await steady([partial(s.fetch, "noop", PAYLOAD) for s in statements], seconds)
    for connection in connections:
        await connection.close()
    return rate


async def ours(stand: Stand, seconds: float) -> float:
    """INSERT INTO pgq_jobs with a worker beside."""
    async with stand.queue() as pgq, stand.worker(pgq.queries.schema, concurrency=500):
        schema = pgq.queries.schema
        text = f'INSERT INTO "{schema}".pgq_jobs (entrypoint, payload) VALUES ($1, $2) RETURNING id'
        return await hammer(stand, text, seconds)


async def plain(stand: Stand, seconds: float) -> float:
    """INSERT into a table with one index, nothing beside."""
    async with stand.queue() as pgq:
        schema = pgq.queries.schema
        await pgq.queries.driver.execute(PLAIN.replace("{s}", schema))
        text = f'INSERT INTO "{schema}".plain (entrypoint, payload) VALUES ($1, $2) RETURNING id'
        return await hammer(stand, text, seconds)


async def apart(kind: str, stand: Stand, seconds: float) -> float:
    """One measurement in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "benchmarks.enqueue", kind, stand.dsn, str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{kind} enqueue failed")
    return float(json.loads(out.decode().strip().splitlines()[-1]))


async def figure(stand: Stand) -> dict[str, float]:
    """Ours, a plain table and PgQueuer in turn; medians."""
    from benchmarks.pgqueuer_peer import available

    kinds = ["ours", "plain", *(["pgqueuer"] if available() else [])]
    runs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(stand.rounds):
        for kind in kinds:
            runs[kind].append(await apart(kind, stand, 8.0 if stand.long else 3.0))
    return {kind: median(values) for kind, values in runs.items()}


async def _main(kind: str, dsn: str, seconds: float) -> float:
    if kind == "pgqueuer":
        from benchmarks.pgqueuer_peer import produce

        return await produce(dsn, CONNECTIONS, seconds)
    return await (ours if kind == "ours" else plain)(Stand(dsn), seconds)


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    print(json.dumps(asyncio.run(_main(sys.argv[1], sys.argv[2], float(sys.argv[3])))))
