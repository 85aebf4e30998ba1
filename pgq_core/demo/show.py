"""The demo on one database: enqueue, watch, kill, measure, compare."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgq_core.demo.files import Digest, Files, plain_loop
from pgq_core.demo.fleet import DemoFailed, Fleet, Member
from pgq_core.demo.report import Recovery, Report
from pgq_core.demo.screen import Screen
from pgq_core.demo.tasks import HASH, PING
from pgq_core.models import NewJob
from pgq_core.queries import Queries
from pgq_core.queries.rows import decoded

BATCH = 5000
KILL_AT = 0.5  # of the jobs done
PINGS = 50
STALLED = 60.0  # seconds without a finished job


@dataclass
class Kill:
    """Which worker was killed, and when by the database's clock."""

    member: Member
    at: datetime


class Show:
    """One run of the demo."""

    def __init__(self, queries: Queries, fleet: Fleet, files: Files, screen: Screen) -> None:
        self.queries = queries
        self.fleet = fleet
        self.files = files
        self.screen = screen
        self.paths: dict[int, str] = {}
        self.killed: Kill | None = None

    async def run(self, workers: int, kill: bool) -> Report:
        """All of it."""
        await self.fleet.start(workers)
        self.screen.say(f"{workers} worker processes are up and idle")
        await self.enqueue()
        with self.screen.bar(len(self.paths)):
            await self.watch(kill)
        await self.ping()
        self.screen.say("checking every digest against a plain loop over the same files")
        started = time.monotonic()
        expected = await asyncio.to_thread(plain_loop, self.files.paths)
        return await self.report(expected, time.monotonic() - started)

    async def enqueue(self) -> None:
        """One job per file."""
        paths = self.files.paths
        for first in range(0, len(paths), BATCH):
            part = paths[first : first + BATCH]
            made = await self.queries.enqueue_many([NewJob(HASH, os.fsencode(p)) for p in part])
            self.paths.update(zip((job.id for job in made), part))

    async def watch(self, kill: bool) -> None:
        """Look on until every job has its outcome; on the way, kill and replace a worker."""
        done, progressed, replacing = 0, time.monotonic(), None
        while done < len(self.paths):
            started = time.monotonic()
            before, done = done, (await self.queries.call("demo_done", entrypoint=HASH))[0]["done"]
            self.screen.advance(done)
            self.fleet.check()
            if kill and self.killed is None and done >= KILL_AT * len(self.paths):
                await self.strike()
                replacing = asyncio.create_task(self.replace()) if self.killed else None
            progressed = time.monotonic() if done > before else progressed
            if time.monotonic() - progressed > STALLED:
                break  # the table says how many are unfinished
            await asyncio.sleep(max(0.02, 5 * (time.monotonic() - started)))
        if replacing is not None:
            await replacing

    async def strike(self) -> None:
        """Kill the first worker that is seen to hold jobs."""
        for member in self.fleet.members:
            seen = (await self.queries.call("demo_held", worker=member.worker_id))[0]
            if seen["held"]:
                self.killed = Kill(member, seen["now"])
                await self.fleet.kill(member)
                self.screen.say(
                    f"killed worker {member.worker_id} with SIGKILL while it held "
                    f"{seen['held']} jobs"
                )
                return

    async def replace(self) -> None:
        """What a process manager would do."""
        fresh = await self.fleet.start(1)
        self.screen.say(f"worker {fresh[0].worker_id} has taken its place")

    async def ping(self) -> None:
        """Single jobs, one after the other, to workers that have nothing to do."""
        self.screen.say(f"sending {PINGS} single jobs to idle workers")
        for _ in range(PINGS):
            await asyncio.sleep(random.uniform(0.02, 0.06))
            made = await self.queries.enqueue_many([NewJob(PING)])
            await self.queries.wait(made[0].id, STALLED)

    # -- what came out ----------------------------------------------------------------------

    async def report(self, expected: dict[str, Digest | None], plain_seconds: float) -> Report:
        """Everything the table shows, from the database."""
        totals = dict((await self.queries.call("demo_totals", entrypoint=HASH))[0])
        busy, idle = [
            (await self.queries.call("demo_pickup", entrypoint=name))[0] for name in (HASH, PING)
        ]
        found = await self.queries.call("demo_results", entrypoint=HASH)
        return Report(
            files=len(self.files.paths),
            skipped=self.files.skipped,
            bytes=sum(digest.bytes for digest in expected.values() if digest),
            lines=sum(digest.lines for digest in expected.values() if digest),
            differing=differing(self.paths, expected, found),
            plain_loop_seconds=plain_seconds,
            queueing=(busy["p50"], busy["p99"]),
            pickup=(idle["p50"], idle["p99"]),
            recovery=await self.recovery(),
            **totals,
        )

    async def recovery(self) -> Recovery | None:
        """How long the killed worker's jobs were away."""
        if self.killed is None:
            return None
        row = (
            await self.queries.call(
                "demo_recovery", worker=self.killed.member.worker_id, killed_at=self.killed.at
            )
        )[0]  # fmt: skip
        return Recovery(**row)


def differing(
    paths: dict[int, str], expected: dict[str, Digest | None], found: Sequence[Any]
) -> list[str]:
    """The files whose result is not what the plain loop found, or is missing."""
    results = {paths.get(row["id"], ""): decoded(row["result"]) for row in found}
    return [
        path
        for path, digest in expected.items()
        if digest is not None and results.get(path) != digest._asdict()
    ]


__all__ = ["DemoFailed", "Show"]
