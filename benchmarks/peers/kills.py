"""A worker is killed while it holds jobs: when do they start again, on another that is idle?"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from benchmarks.peers import job, run
from benchmarks.peers.bench import Bench, Figures
from benchmarks.peers.drains import started
from benchmarks.peers.peer import Failed, Peer

HELD = 20
LIMIT = 60.0
"""Seconds until we no longer wait."""


async def killed(bench: Bench, peer: Peer) -> Figures:
    """Seconds from the SIGKILL to the start of the last of the jobs that the dead worker held."""
    async with bench.session(peer) as session, AsyncExitStack() as stack:
        cell = session.folder / "victim"
        cell.mkdir()
        await session.call("bulk", count=HELD)
        victim = await stack.enter_async_context(
            run.worker(peer, session.base.dsn, cell, PGQ_PEERS_HANG="1")
        )
        await started(victim)
        other = await stack.enter_async_context(session.worker())
        await session.calm([other])  # what the victim had not taken has run there by now
        moment, limit = time.time(), bench.seconds(LIMIT)
        await run.kill(victim.process)
        if not await other.until_ran(HELD, limit):
            raise Failed(
                f"{HELD - other.ran()} of a killed worker's jobs not started in {limit:.0f} s"
            )
        starts = [start - moment for _, start in job.starts(other.log)]
        return {"last": max(starts), "held": sum(start > 0 for start in starts)}
