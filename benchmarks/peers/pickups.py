"""Scenarios with producers beside running workers: single enqueues, pickup, open-loop load."""

from __future__ import annotations

import asyncio
import time

from benchmarks.peers import job
from benchmarks.peers.bench import Bench, Figures, Session
from benchmarks.peers.peer import Failed, Peer
from benchmarks.stand import median, percentile

GAP = [0.03, 0.07]
"""Seconds between two jobs of a trickle."""
SETTLING = 12
"""Seconds until looks are rare, and until the server knows what an idle session has counted."""


async def singles(bench: Bench, peer: Peer) -> Figures:
    """Single-job transactions from 32 connections while a worker runs."""
    async with bench.session(peer) as session, session.ready():
        done = await session.call("singles", seconds=bench.seconds(3))
        return {"rate": done["count"] / done["seconds"]}


async def idle(bench: Bench, peer: Peer) -> Figures:
    """From commit to start on one idle worker, and what it does meanwhile."""
    return await picked_up(bench, peer, 1)


async def ten(bench: Bench, peer: Peer) -> Figures:
    """The same with ten idle worker processes."""
    return await picked_up(bench, peer, 10)


async def picked_up(bench: Bench, peer: Peer, workers: int) -> Figures:
    """Delays of a trickle, transactions per job, transactions per second when nothing happens."""
    count = max(20, int((80 if workers == 1 else 40) * min(1.0, bench.scale)))
    async with bench.session(peer) as session, session.ready(workers) as worker:
        await asyncio.sleep(bench.seconds(SETTLING))
        quiet = await rate(session, bench.seconds(5))
        started, before = time.monotonic(), await session.base.commits()
        committed = await session.call("trickle", count=count, first=1, gap=GAP)
        await session.settled(worker, count + 1)
        await asyncio.sleep(1.1)  # sessions report their counts at most once a second
        spent = await session.base.commits() - before - quiet * (time.monotonic() - started)
        begun = dict(reversed(job.starts(worker.log)))
        delays = [max(0.0, begun[number] - moment) * 1000 for number, moment in committed]
        return {
            "p50": median(delays), "p99": percentile(delays, 0.99), "quiet": quiet,
            "tx": max(0.0, spent) / count,
        }  # fmt: skip


async def rate(session: Session, seconds: float) -> float:
    """Transactions per second now."""
    before, started = await session.base.commits(), time.monotonic()
    await asyncio.sleep(seconds)
    return (await session.base.commits() - before) / (time.monotonic() - started)


async def load(bench: Bench, peer: Peer) -> Figures:
    """Open loop at half of what one core can enqueue and run; delays from the moment due."""
    drained, filled = (bench.figure(peer.name, "drain", key) for key in ("rate", "bulk"))
    if not drained or not filled:
        raise Failed("no capacity was measured")
    capacity = 1 / (1 / drained + 1 / filled)
    async with bench.session(peer) as session, session.ready() as worker:
        worker.log.write_bytes(b"")
        poured = await session.call("pour", rate=capacity / 2, seconds=bench.seconds(3))
        await session.settled(worker, int(poured["count"]), 10)
        due = {n: poured["started"] + n / (capacity / 2) for n in range(1, int(poured["count"]))}
        begun = dict(reversed(job.starts(worker.log)))
        delays = [max(0.0, begun[number] - moment) * 1000 for number, moment in due.items()]
        return {
            "rate": capacity / 2, "p50": median(delays), "p95": percentile(delays, 0.95),
            "p99": percentile(delays, 0.99),
        }  # fmt: skip
