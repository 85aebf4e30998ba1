"""The transactions that meet at a claimer's mark: positions drawn early, committed late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.sql import accounts, verbs
from tests.sql.hands import Hand
from tests.sql.pairs import Pair, expect
from tests.sql.scheduler import Actor, Script

WINDOW = 2  # positions below the mark that a claim scans again, for these tests
MANY = 2 * WINDOW + 2  # jobs that come in meanwhile: what is late has left the window
ROUNDS = 3


@dataclass
class AtTheMark(Pair):
    """A claimer goes on, its mark and floor moving, while somebody else is late."""

    count: int = 100  # what one claim may take
    functions = ("pgq_claim",)

    async def scripts(self) -> Sequence[Script]:
        (first,) = await verbs.enqueue(self.main)
        self.hand = Hand(self.actors[0].on)
        self.hand.lanes.learn_directory(await verbs.call(self.main, "lanes", entrypoints=["work"]))
        self.jobs = {first}
        return self.go_on, self.be_late

    async def go_on(self, me: Actor) -> None:
        """Claims and looks, with jobs that come in between."""
        for _ in range(ROUNDS):
            self.jobs |= set(await verbs.enqueue(self.main, count=MANY))
            await self.hand.claim(self.count)
            await self.hand.look(from_the_floor=True)

    async def be_late(self, me: Actor) -> None:
        """A producer whose position is behind the mark by the time it commits."""
        await me.ungated()
        await me.pause()
        await me.transact(verbs.enqueue(me.on), self.ends[1])

    async def check(self) -> None:
        await accounts.balanced(self.main)
        rows = await self.main.fetch("SELECT lane_id, position, job_id FROM pgq_ready")
        for row in rows:
            floor = self.hand.lanes.by_id[row["lane_id"]].floor
            expect(floor < row["position"], f"the floor {floor} is above a job: {dict(row)}")
        await self.hand.on.execute("SET pgq.actor = ''")
        await self.hand.everything()
        await self.hand.on.execute("SET pgq.actor = 1")
        found = [run.job.id for run in self.hand.found]
        expect(len(found) == len(set(found)), f"found twice: {sorted(found)}")
        missing = (self.jobs | self.committed()) - set(found)
        expect(not missing, f"never found: {missing}")

    def committed(self) -> set[int]:
        """What the late one brought."""
        return set(self.kept(1) or [])


@dataclass
class LateClaim(AtTheMark):
    """The late one is a claimer that holds a job, of those that our claims have left for later, and
    commits or is undone."""

    count: int = WINDOW

    async def be_late(self, me: Actor) -> None:
        await me.ungated()
        await me.pause()
        await me.transact(verbs.claim(me.on, 1, worker=2), self.ends[1])

    async def check(self) -> None:
        claim: Any = self.kept(1)
        self.jobs -= set(claim.ids if claim is not None else [])
        await super().check()

    def committed(self) -> set[int]:
        return set()
