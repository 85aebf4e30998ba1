"""Scenarios that empty a full queue: plainly, under a held snapshot, beside deferred rows.

The machine's speed changes by half within minutes, so what a scenario leaves of a peer's speed is
its share of a plain drain made just before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.peers import job
from benchmarks.peers.bench import Bench, Figures, Session
from benchmarks.peers.peer import Failed, Peer
from benchmarks.peers.run import Worker


async def drain(bench: Bench, peer: Peer) -> Figures:
    """Enqueue in bulk, then empty the queue with one worker process; what a job costs."""
    total = bench.jobs(peer)
    async with bench.session(peer) as session:
        wal = await session.base.wal()
        filled = await session.call("bulk", count=total)
        await session.base.analyze()
        figures = await emptied(session, total)
        wal = await session.base.wal() - wal
        await disconnected(session)
        dead = await session.base.dead()
    return {
        **figures, "bulk": total / filled["seconds"], "wal": wal / total, "dead": dead / total,
    }  # fmt: skip


async def emptied(session: Session, total: int) -> Figures:
    """Run one worker until all are acknowledged; from the first start to the last outcome."""
    async with session.worker() as worker, watched(worker) as memory:
        await started(worker)
        client, server = worker.cpu(), session.base.cpu()
        await session.settled(worker, total)
        end = time.time()
        client, server = worker.cpu() - client, session.base.cpu() - server
        return {
            "again": await session.check(worker, total),
            "rate": total / (end - job.starts(worker.log)[0][1]),
            "client": client / total * 1e6, "server": server / total * 1e6, "memory": max(memory),
        }  # fmt: skip


async def started(worker: Worker) -> None:
    """Wait for its first job. Raises Failed."""
    if not await worker.until_ran(1):
        raise Failed("the worker has not started a job")


@asynccontextmanager
async def watched(worker: Worker) -> AsyncIterator[list[float]]:
    """How much memory it holds, looked at now and then during the block."""
    seen = [0.0]

    async def look() -> None:
        while True:
            seen.append(worker.memory())
            await asyncio.sleep(0.2)

    looking = asyncio.ensure_future(look())
    try:
        yield seen
    finally:
        looking.cancel()


async def disconnected(session: Session) -> None:
    """Wait until the worker's sessions have ended, and with them reported their counts."""
    for _ in range(100):
        if not await session.base.others():
            break
        await asyncio.sleep(0.02)


async def pinned(bench: Bench, peer: Peer) -> Figures:
    """The last third of three times the jobs, while somebody holds a snapshot all along."""
    if peer.get("SERVER") == "redis":
        raise Failed("no snapshots in Redis")
    plainly = await drain(bench, peer)
    async with bench.session(peer) as session:
        found = await tail(session, 3 * bench.jobs(peer), bench.seconds(8), pin=True)
    return {**found, "share": found["rate"] / plainly["rate"]}


async def deferred(bench: Bench, peer: Peer) -> Figures:
    """The drain with many rows beside that are due tomorrow."""
    plainly = await drain(bench, peer)
    async with bench.session(peer, bench.deferred) as session:
        found = await tail(session, bench.jobs(peer), bench.seconds(8), pin=False)
    return {**found, "share": found["rate"] / plainly["rate"]}


async def tail(session: Session, total: int, limit: float, *, pin: bool) -> Figures:
    """Jobs per second over the last third of what ran within the limit."""
    async with AsyncExitStack() as stack:
        if pin:
            await stack.enter_async_context(session.base.pin())
        await session.call("bulk", count=total)
        await session.base.analyze()
        worker = await stack.enter_async_context(session.worker())
        await started(worker)
        all_ran = await worker.until_ran(total, limit)
        stopped, moments = time.time(), [moment for _, moment in job.starts(worker.log)]
        if all_ran:
            await session.settled(worker, total, 5)
        end = moments[-1] if all_ran else stopped
        first = len(moments) * 2 // 3
        return {"rate": (len(moments) - first) / (end - moments[first]), "ran": len(moments)}
