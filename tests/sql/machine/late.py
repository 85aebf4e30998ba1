"""Rules: any verb may commit late, while others go on, or crash at its end as if it never was."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.flow import steps
from tests.sql import verbs
from tests.sql.machine.base import HANDS
from tests.sql.machine.claimers import Claimers
from tests.sql.machine.model import Late
from tests.sql.machine.outcomes import DELAYS, OUTCOMES, Outcomes
from tests.sql.machine.people import People
from tests.sql.verbs import ANY_AGE, KEEP, UNDO

COMMITTED = "SELECT job_id FROM pgq_blocked"


class LateOnes(Claimers, Outcomes, People):
    """One transaction at a time that has done its work and not ended."""

    def begin_late(
        self,
        kind: str,
        jobs: set[int],
        commit: Callable[[], None],
        *,
        leases: Iterable[int] = (),
        places: bool = False,
    ) -> None:
        """Note what the transaction holds; `commit` is what its commit will mean."""
        self.late = Late(kind, jobs, commit, set(leases), places)

    @precondition(lambda self: self.late)
    @rule(keep=st.booleans())
    def end_late(self, keep: bool) -> None:
        late, self.late = self.late, None
        assert late is not None
        self.run(self.bench.late.execute(KEEP if keep else UNDO))
        if keep:
            late.commit()
        elif late.kind == "promote":  # what a crash undid, the next look does
            self.promote()

    @precondition(lambda self: not self.late and any(self.leases))
    @rule(which=HANDS, data=st.data(), outcome=OUTCOMES, delay=DELAYS)
    def finish_late(self, which: int, data: st.DataObject, outcome: str, delay: float) -> None:
        if not self.free_leases(which):
            return
        batch, shut = self.choose(which, data)
        limited = self.takes_turns(batch)
        flush = verbs.finish(
            self.bench.late, batch, outcome, shut=shut, delay=delay, limited=limited
        )
        self.run(self.bench.late.execute("BEGIN"))
        assert self.run(flush) == {}
        self.begin_late(
            "finish",
            {one.job_id for one in batch},
            lambda: self.written(batch, outcome, shut, delay),
            leases=[batch[0].lease_id],
            places=limited,
        )

    @precondition(lambda self: not self.late)
    @rule(which=HANDS)
    def rescue_late(self, which: int) -> None:
        batches = self.rescuable(which)
        jobs = {one.job_id for batch in batches for one in batch}
        self.run(self.bench.late.execute("BEGIN"))
        found = self.run(verbs.rescue(self.bench.late, self.hands[which].worker))
        assert found == self.verdicts(batches)
        self.begin_late(
            "rescue",
            jobs,
            lambda: self.taken_back(which, batches),
            leases=[batch[0].lease_id for batch in batches],
            places=any(map(self.takes_turns, batches)),
        )

    @precondition(lambda self: not self.late)
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "retry"]))
    def people_late(self, data: st.DataObject, verb: str) -> None:
        """Somebody who cancels or puts back in a transaction of their own."""
        ids = self.pick(data) if verb == "cancel" else self.to_retry(data)
        expected = self.expected_of_cancel(ids) if verb == "cancel" else self.expected_of_retry(ids)
        self.run(self.bench.late.execute("BEGIN"))
        found = self.run(getattr(verbs, verb)(self.bench.late, *ids))
        assert found == expected
        self.begin_late(
            verb,
            set(ids),
            lambda: self.cancelled(ids, found) if verb == "cancel" else self.put_back(found),
        )

    @precondition(lambda self: not self.late)
    @rule()
    def promote_late(self) -> None:
        ids = self.due()
        self.run(self.bench.late.execute("BEGIN"))
        while self.run(verbs.look(self.bench.late))["promoted"]:
            pass
        self.begin_late("promote", set(ids), lambda: self.promoted(ids))

    @precondition(lambda self: not self.late)
    @rule()
    def prune_late(self) -> None:
        """It locks whatever has ended once, and lets stand what runs again."""
        ids, locked = self.prunable(), {i for i, job in self.jobs.items() if job.ended_once}
        self.run(self.bench.late.execute("BEGIN"))
        self.run(verbs.call(self.bench.late, "prune", from_id=0, limit=100_000, **ANY_AGE))
        self.begin_late("prune", locked, lambda: self.gone(ids))

    @precondition(lambda self: not self.late)
    @rule()
    def sweep_late(self) -> None:
        """Hand over, while nobody else can count places."""
        parked = {row[0] for row in self.run(self.bench.main.fetch(COMMITTED))}
        self.run(self.bench.late.execute("BEGIN"))
        self.run(steps.sweep(self.bench.late))
        self.begin_late("sweep", parked, lambda: None, places=bool(parked))

    @precondition(lambda self: not self.late)
    @rule(which=HANDS, count=st.sampled_from([1, 5]))
    def claim_in_turn_late(self, which: int, count: int) -> None:
        """Park, with places counted and not committed."""
        waiting = {id_ for id_, job in self.jobs.items() if job.turn and job.state == "ready"}
        self.run(self.bench.late.execute("BEGIN"))
        taken, _ = self.in_turn(self.bench.late, which, count)
        places = self.lanes_in_turn()
        self.begin_late("claim", waiting, lambda: self.running(which, taken), places=places)
