"""A claimer without a worker: plans, claims and learns on one connection, when a test says so."""

from __future__ import annotations

from typing import Any

from pgq_core.registry import Registry
from pgq_core.worker.book import Book, Running
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.lanes import Lanes
from tests.sql import verbs


class Wire:
    """What a claimer needs of its line: calls on a connection that the test holds."""

    def __init__(self, on: Any) -> None:
        self.on = on
        self.generation = 1

    async def call(self, name: str, /, **values: Any) -> list[Any]:
        return await verbs.call(self.on, name, **values)


class Hand:
    """One claimer: its connection, and what it remembers of the lanes."""

    def __init__(self, on: Any, worker: int = 1) -> None:
        self.on = on
        self.worker = worker
        self.lanes = Lanes()
        wire: Any = Wire(on)
        self.claimer = Claimer(worker, wire, self.lanes, Book(), Registry())
        self.clock = 100.0
        self.found: list[Running] = []

    async def directory(self) -> None:
        """Read which lanes there are."""
        names = [row[0] for row in await self.on.fetch("SELECT entrypoint FROM pgq_lanes")]
        self.lanes.learn_directory(await verbs.call(self.on, "lanes", entrypoints=names))

    async def claim(self, count: int = 100, *, look: bool = False) -> list[int]:
        """One claim by plan; the ids it took."""
        self.clock += 0.01
        runs, _ = await self.claimer.claim(self.lanes.plan(), count, now=self.clock, look=look)
        return self._took(runs)

    async def look(self, *, from_the_floor: bool = False) -> list[int]:
        """A claim with a look; a second later if promotion is to begin at its floor."""
        self.clock += 1.0 if from_the_floor else 0.0
        return await self.claim(look=True)

    async def sweep(self, count: int = 100) -> list[int]:
        """One sweep by plan: slices between floor and window."""
        if not (plan := self.lanes.sweep_plan()):
            return []
        runs, _ = await self.claimer.claim(plan, count, now=self.clock)
        return self._took(runs)

    async def everything(self, rounds: int = 50) -> list[int]:
        """Claim, look and sweep until a whole round brings nothing."""
        await self.directory()
        taken: list[int] = []
        for _ in range(rounds):
            before = len(taken)
            taken += await self.claim() + await self.sweep()
            taken += await self.look(from_the_floor=True)
            if len(taken) == before and not any(lane.cursor for lane in self.unswept):
                return taken
        return taken

    @property
    def unswept(self) -> list[Any]:
        return [lane for lane in self.lanes.by_id.values() if lane.unswept]

    def only_lane(self) -> Any:
        """The one lane it knows."""
        (lane,) = self.lanes.by_id.values()
        return lane

    async def finish(self, outcome: str = "succeeded", **rest: Any) -> None:
        """Write this outcome for all it holds."""
        runs, self.found = self.found, []
        jobs = [
            verbs.Taken(
                run.job.id, run.job.attempt, run.lane_id, 0, run.lease.id, run.lease.token,
                self.worker, run.spent, run.crashes, run.cap, run.job.entrypoint, None,
            )
            for run in runs
        ]  # fmt: skip
        if jobs:
            assert await verbs.finish(self.on, jobs, outcome, **rest) == {}

    async def claim_buffers(self, count: int) -> int:
        """How many blocks the next claim by plan would touch; it is rolled back."""
        plan = self.lanes.plan()
        async with verbs.held(self.on, end=verbs.UNDO):
            return await verbs.claim_buffers(
                self.on,
                count,
                lanes=[stretch.lane.id for stretch in plan],
                starts=[stretch.start for stretch in plan],
                ends=[stretch.end for stretch in plan],
            )

    def _took(self, runs: list[Running]) -> list[int]:
        self.found += runs
        return [run.job.id for run in runs]


async def hand(on: Any, worker: int = 1) -> Hand:
    """A claimer that knows the directory."""
    made = Hand(on, worker)
    await made.directory()
    return made
