"""What a scenario needs: the servers, the sizes, a folder, and a session with one peer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import job, run
from benchmarks.peers.ground import Postgres
from benchmarks.peers.peer import Failed, Peer
from benchmarks.peers.redis import Redis
from benchmarks.stand import median

KEPT = ("scale", "deferred", "results", "errors", "versions", "place")
Figures = dict[str, float]
Results = dict[str, dict[str, list[Figures]]]


@dataclass
class Bench:
    """The servers, and how much to do."""

    postgres: Postgres | None
    redis: Redis | None
    scale: float = 1.0
    deferred: int = 500_000
    results: Results = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    place: str = ""

    def jobs(self, peer: Peer) -> int:
        """About two seconds of this peer's work, at scale 1."""
        return max(100, int(peer.get("JOBS") * self.scale))

    def seconds(self, full: float) -> float:
        """A time, shorter in the quick form."""
        return max(1.0, full * min(1.0, self.scale))

    def dumps(self) -> str:
        """Everything measured, as JSON."""
        return json.dumps({name: getattr(self, name) for name in KEPT}, indent=1)

    @classmethod
    def loads(cls, text: str) -> Bench:
        """What `dumps` wrote; nothing more can be measured on it."""
        bench = cls(None, None)
        bench.resume(text)
        return bench

    def resume(self, text: str, anew: Iterable[str] = ()) -> None:
        """Take over what `dumps` wrote, apart from the scenarios that are measured anew."""
        for name, value in json.loads(text).items():
            setattr(self, name, value)
        for found in (*self.results.values(), *self.errors.values()):
            for scenario in anew:
                found.pop(scenario, None)

    def figure(self, peer: str, scenario: str, key: str) -> float | None:
        """The median over the rounds, or None."""
        rounds = self.results.get(peer, {}).get(scenario, [])
        return median([each[key] for each in rounds]) if rounds else None

    @asynccontextmanager
    async def session(self, peer: Peer, deferred: int = 0) -> AsyncIterator[Session]:
        """A fresh database and no jobs."""
        ground: Any = self.redis if peer.get("SERVER") == "redis" else self.postgres
        with tempfile.TemporaryDirectory() as folder:
            async with ground.fresh(peer, deferred) as base:
                yield Session(peer, base, Path(folder))


@dataclass
class Session:
    """One peer on its fresh database."""

    peer: Peer
    base: Any
    folder: Path

    async def call(self, verb: str, **options: Any) -> Any:
        """A process of the peer that enqueues."""
        return await run.call(self.peer, verb, dsn=self.base.dsn, **options)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[run.Worker]:
        """A worker that has just been started."""
        async with run.worker(self.peer, self.base.dsn, self.folder) as worker:
            yield worker

    @asynccontextmanager
    async def ready(self, count: int = 1) -> AsyncIterator[run.Worker]:
        """The first of so many workers, all of them started and idle; one job has run."""
        async with contextlib.AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(self.worker()) for _ in range(count)]
            await self.call("trickle", count=1, first=0, gap=[0, 0])
            if not await workers[0].until_ran(1):
                raise Failed("the worker has not run its first job")
            await self.calm(workers)
            yield workers[0]

    async def calm(self, workers: list[run.Worker]) -> None:
        """Wait until they have loaded their modules, as their use of the CPU tells."""
        for _ in range(20):
            before = sum(worker.cpu() for worker in workers)
            await asyncio.sleep(0.3)
            if sum(worker.cpu() for worker in workers) - before < 0.05 + 0.02 * len(workers):
                return

    async def settled(self, worker: run.Worker, total: int, limit: float = run.PATIENCE) -> None:
        """Wait until the database says that all are done, and hold it against the side effects."""

        async def acked() -> bool:
            return await self.base.acked(total) >= total

        if not (await worker.until_ran(total, limit) and await worker.until(acked, limit)):
            done = await self.base.acked(total)
            raise Failed(f"{worker.ran()} of {total} ran, {done} acknowledged: stuck or too slow")

    async def check(self, worker: run.Worker, total: int) -> float:
        """Every job left its line and has its outcome. Raises Failed; how many ran more than once."""
        lines = [number for number, _ in job.starts(worker.log)]
        if set(lines) != set(range(total)):
            raise Failed(f"{total - len(set(lines))} jobs never ran though acknowledged")
        if (acked := await self.base.acked(total)) != total:
            raise Failed(f"{acked} acknowledged of {total}")
        return float(len(lines) - total)
