"""Rules: jobs are claimed, parked behind their key, handed over; a claim may commit late, or crash."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pgq_core.worker.lane import END, Stretch
from tests.flow import steps
from tests.sql.machine.base import HANDS, KEYED, Base
from tests.sql.verbs import KEEP, UNDO, Taken

COUNTS = st.sampled_from([1, 3, 400])
# After a crash of the server the sequence may give the numbers of lost leases again.
FORGET_LEASES = """
SELECT setval('pgq_lease_ids', greatest(1, max(lease_id)), count(*) > 0) FROM pgq_leases
"""
KNOWN = "SELECT EXISTS (SELECT FROM pgq_lanes WHERE entrypoint = $1 AND kind <> 'alone')"


class Claimers(Base):
    """Two claimers that remember marks; limited claims remember nothing."""

    def accept(self, taken: list[Taken]) -> list[Taken]:
        """What a claim gave was ready, held by nobody else, and is counted right."""
        held = {one.job_id for others in self.holding.values() for one in others}
        for one in taken:
            job = self.jobs[one.job_id]
            assert job.state == "ready"
            assert one.attempt == len(job.history) + 1
            assert (one.crashes, one.cap) == (job.crashes, job.cap)
            assert one.job_id not in held
        return taken

    def from_hand(self, which: int, ids: list[int]) -> list[Taken]:
        """What a hand has just found."""
        hand = self.hands[which]
        runs, hand.found = hand.found, []
        assert [run.job.id for run in runs] == ids
        return self.accept([
            Taken(
                run.job.id, run.job.attempt, run.lane_id, 0, run.lease.id, run.lease.token,
                hand.worker, run.spent, run.crashes, run.cap, run.job.entrypoint, None,
            )
            for run in runs
        ])  # fmt: skip

    def running(self, which: int, taken: list[Taken]) -> None:
        """These jobs run now, one at a time under each key."""
        for one in taken:
            job = self.jobs[one.job_id]
            assert job.turn is None or not any(
                other.state == "running" and other.turn == job.turn for other in self.jobs.values()
            )
            job.state = "running"
            self.leases[which].setdefault(one.lease_id, []).append(one)

    async def take(self, which: int, count: int, how: str) -> list[int]:
        """One claim by plan, with a look, over a sweep's slices, or of one suspect."""
        hand = self.hands[which]
        await hand.directory()
        if how == "alone":
            plan = [Stretch(lane, 0, END) for lane in hand.lanes.of_kind("alone")]
            runs, _ = await hand.claimer.claim(plan, 1, now=hand.clock)
            hand.found += runs
            return [run.job.id for run in runs]
        if how == "sweep":
            return await hand.sweep(count)
        return await hand.claim(count, look=how == "look")

    @rule(which=HANDS, count=COUNTS, how=st.sampled_from(["plan", "look", "sweep", "alone"]))
    def claim(self, which: int, count: int, how: str) -> None:
        if which not in self.holding:
            ids = self.run(self.take(which, count, how))
            assert len(ids) <= count
            self.running(which, self.from_hand(which, ids))

    @rule(which=HANDS, count=st.sampled_from([1, 5]))
    def claim_in_turn(self, which: int, count: int) -> None:
        """Under keys: the rest of a busy key is parked."""
        if which in self.holding:
            return
        taken, busy = self.in_turn(self.hands[which].on, which, count)
        assert not busy or (self.counting and not taken)
        self.running(which, taken)

    def lanes_in_turn(self) -> bool:
        """Whether the directory knows those who take turns."""
        known: bool = self.run(self.bench.main.fetchval(KNOWN, KEYED))
        return known

    def in_turn(self, on: Any, which: int, count: int) -> tuple[list[Taken], bool]:
        """A limited claim: what it gave, and whether somebody else was counting places."""
        worker = self.hands[which].worker
        claim = self.run(steps.claim_limited(on, count, worker=worker, entrypoint=KEYED))
        return self.accept(claim.jobs), claim.status["busy"]

    @precondition(lambda self: len(self.holding) < 2)
    @rule(which=HANDS, count=COUNTS)
    def begin_claim(self, which: int, count: int) -> None:
        if which not in self.holding:
            self.run(self.hands[which].on.execute("BEGIN"))
            ids = self.run(self.take(which, count, "plan"))
            self.holding[which] = self.from_hand(which, ids)

    @precondition(lambda self: self.holding)
    @rule(which=HANDS, keep=st.booleans())
    def end_claim(self, which: int, keep: bool) -> None:
        """It commits, or a crash undoes what its worker believes it holds."""
        if which in self.holding:
            self.run(self.hands[which].on.execute(KEEP if keep else UNDO))
            taken = self.holding.pop(which)
            if keep:
                self.running(which, taken)
            else:
                self.lost(taken)

    def lost(self, taken: list[Taken]) -> None:
        """A claim that its worker has heard of is gone, and so is the lease's number."""
        if not (self.late and self.late.kind == "claim"):  # it has drawn a number too
            self.run(self.bench.main.execute(FORGET_LEASES))
        self.stale += [taken] if taken else []
