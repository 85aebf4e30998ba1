"""Drain: how fast one process empties a full queue, jobs acknowledged in the database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import datetime, timezone
from typing import Any

from benchmarks.stand import Stand, fill, median, on, scalar
from pgq_core import Job
from pgq_core.memory import set_aside

FIRST = datetime(2000, 1, 1, tzinfo=timezone.utc)
CONCURRENCY = (500, 1000)
PEER_BATCHES = (100, 500)


async def ours(stand: Stand, count: int, concurrency: int) -> float:
    """Jobs per second of one worker process with no-op async handlers, history on."""
    return await apart("ours", stand.dsn, count, concurrency)


async def raw(stand: Stand, count: int, batch: int) -> float:
    """The same SQL in a bare loop: claim, finish, claim, finish; no handlers."""
    async with stand.queue() as pgq:
        await fill(pgq, count)
        connection = await stand.connect()
        queries = on(connection, pgq.queries.schema)
        lanes = [
            row["lane_id"] for row in await queries.call("lanes", entrypoints=["noop"], queues=None)
        ]
        row = (await queries.call("register_worker", name="raw", lease=60.0, info="{}"))[0]
        started, mark = time.perf_counter(), 0
        while jobs := await claim(queries, row["worker_id"], lanes, mark, batch):
            mark = max(job["position"] for job in jobs)
            await finish(queries, row["worker_id"], jobs)
        elapsed = time.perf_counter() - started
        await connection.close()
        return count / elapsed


async def claim(
    queries: Any, worker: int, lanes: list[int], mark: int, count: int, **more: Any
) -> list[Any]:
    """One plain claim; its jobs."""
    values = {
        "worker": worker, "token": 1, "count": count, "lanes": lanes, "starts": [mark] * len(lanes),
        "ends": [2**63 - 1] * len(lanes), "caps": [5] * len(lanes), "single": [], "floor_lanes": [],
        "floors": [], "settled": 0, "settle_xid": 0, "force_xid": False, "look": False,
        "due_from": FIRST, "due_settle": 0, "idle_ms": None, "schedules": None, "limited": [],
        "limited_floors": [],
    }  # fmt: skip
    rows: list[Any] = await queries.call("claim", **{**values, **more})
    return rows[:-1]


async def finish(queries: Any, worker: int, jobs: list[Any]) -> None:
    """Write success for all of them."""
    count = len(jobs)
    await queries.call(
        "finish", worker=worker, shut=[jobs[0]["lease_id"]], shut_tokens=[1], open=[], open_tokens=[],
        leases=[job["lease_id"] for job in jobs], jobs=[job["job_id"] for job in jobs],
        attempts=[job["attempt"] for job in jobs], outcomes=["succeeded"] * count,
        started=[0.1] * count, finished=[0.0] * count, errors=[None] * count, results=[None] * count,
        lanes=[job["lane_id"] for job in jobs], delays=[0.0] * count, spent=[0] * count,
        crashes=[0] * count, keyed=False, requeue=False, limited=False,
    )  # fmt: skip


async def apart(kind: str, dsn: str, count: int, size: int) -> float:
    """Run one drain in a process of its own; returns jobs per second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.drain", kind, dsn, str(count), str(size),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{kind} drain failed")
    return float(json.loads(out.decode().strip().splitlines()[-1]))


async def drain_ours(dsn: str, count: int, concurrency: int) -> float:
    """In the process of its own."""
    async with Stand(dsn).queue() as pgq:

        @pgq.entrypoint("noop")
        async def noop(job: Job) -> None:
            pass

        await fill(pgq, count)
        await pgq.queries.driver.execute("CHECKPOINT")
        with set_aside():  # as our command line does
            started = time.perf_counter()
            await pgq.run(concurrency=concurrency, until_empty=True)
            elapsed = time.perf_counter() - started
        written = await scalar(
            pgq, "SELECT count(*) FROM {s}.pgq_attempts WHERE outcome = 'succeeded'"
        )
        assert written == count, (written, count)
        return count / elapsed


async def figure(stand: Stand) -> dict[str, Any]:
    """Ours, the raw loop and PgQueuer at each size, in turn; the best median of each."""
    from benchmarks.pgqueuer_peer import available

    count = stand.size(60_000, 200_000)
    runs: dict[tuple[str, int], list[float]] = {}
    for _ in range(stand.rounds):
        for size in CONCURRENCY:
            runs.setdefault(("ours", size), []).append(await apart("ours", stand.dsn, count, size))
        runs.setdefault(("raw", 500), []).append(await raw(stand, count, 500))
        for batch in PEER_BATCHES if available() else ():
            speed = await apart("pgqueuer", stand.dsn, stand.size(15_000, 50_000), batch)
            runs.setdefault(("pgqueuer", batch), []).append(speed)
    best: dict[str, Any] = {}
    for (kind, size), values in runs.items():
        best[kind] = max(best.get(kind, (0.0, 0)), (median(values), size))
    return best


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    _, kind, dsn, count, size = sys.argv
    if kind == "ours":
        print(json.dumps(asyncio.run(drain_ours(dsn, int(count), int(size)))))
    else:
        from benchmarks.pgqueuer_peer import drain

        print(json.dumps(asyncio.run(drain(dsn, int(count), int(size)))))
