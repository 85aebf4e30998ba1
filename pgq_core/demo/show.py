"""The demo on one database: enqueue, watch, kill, measure, compare."""

from __future__ import annotations

import asyncio
import os
import random
import time

from pgq_core.demo.files import Files
from pgq_core.demo.fleet import Fleet
from pgq_core.demo.measure import Kill, measure
from pgq_core.demo.report import Report
from pgq_core.demo.screen import Screen
from pgq_core.demo.tasks import HASH, PING
from pgq_core.models import NewJob
from pgq_core.queries import Queries

BATCH = 5000
KILL_AT = 0.3  # of the jobs done
PINGS = 50
STALLED = 60.0  # seconds without a finished job


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
        return await measure(self.queries, self.files, self.paths, self.killed)

    async def enqueue(self) -> None:
        """One job per file."""
        paths = self.files.paths
        for first in range(0, len(paths), BATCH):
            part = paths[first : first + BATCH]
            made = await self.queries.enqueue_many([NewJob(HASH, os.fsencode(p)) for p in part])
            self.paths.update(zip((job.id for job in made), part, strict=True))

    async def watch(self, kill: bool) -> None:
        """Look on until every job has its outcome; on the way, kill and replace a worker."""
        done, progressed, replacing = 0, time.monotonic(), None
        while done < len(self.paths):
            started = time.monotonic()
            before, done = done, (await self.queries.call("demo_done"))[0]["done"]
            self.screen.advance(done)
            self.fleet.check()
            if kill and replacing is None and done >= KILL_AT * len(self.paths):
                if await self.strike():
                    replacing = asyncio.create_task(self.replace())
                continue
            progressed = time.monotonic() if done > before else progressed
            if time.monotonic() - progressed > STALLED:
                break  # the table says how many are unfinished
            # Counting costs the server time that the workers could use; until the kill, be quick.
            spent = time.monotonic() - started
            await asyncio.sleep(0.02 if kill and replacing is None else max(0.02, 3 * spent))
        if replacing is not None:
            await replacing

    async def strike(self) -> bool:
        """Kill the first worker that is seen to hold jobs."""
        for member in self.fleet.members:
            seen = (await self.queries.call("demo_held", worker=member.worker_id))[0]
            if seen["held"]:
                self.killed = Kill(member.worker_id, seen["now"])
                await self.fleet.kill(member)
                self.screen.say(f"killed worker {member.worker_id} with SIGKILL amid its work")
                return True
        return False

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
