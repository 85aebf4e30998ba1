"""Rules: outcomes are written, sent again, come too late; workers are rescued."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.sql import verbs
from tests.sql.machine.base import HANDS, Base
from tests.sql.machine.model import FINISHED
from tests.sql.verbs import AGAIN, Taken

OUTCOMES = st.sampled_from([*FINISHED, *AGAIN])
DELAYS = st.sampled_from([0.0, 3600.0])


class Outcomes(Base):
    """Whoever holds a lease says how its jobs ended; whoever lost it says so in vain."""

    def choose(self, which: int, data: st.DataObject) -> tuple[list[Taken], bool]:
        """Some or all jobs of one lease; True: the lease ends with them."""
        lease = data.draw(st.sampled_from(self.free_leases(which)))
        open_ = self.leases[which][lease]
        batch = open_[: data.draw(st.sampled_from([1, len(open_)]))]
        return batch, len(batch) == len(open_)

    def written(self, batch: list[Taken], outcome: str, shut: bool, delay: float) -> None:
        """These outcomes stand."""
        which, lease = batch[0].worker - 1, batch[0].lease_id
        for one in batch:
            self.jobs[one.job_id].decide(outcome, delay, one.worker)
        self.leases[which][lease] = [one for one in self.leases[which][lease] if one not in batch]
        if shut:
            del self.leases[which][lease]
        self.sent.append((batch, outcome, shut))

    @precondition(lambda self: any(self.leases))
    @rule(which=HANDS, data=st.data(), outcome=OUTCOMES, delay=DELAYS)
    def finish(self, which: int, data: st.DataObject, outcome: str, delay: float) -> None:
        if self.free_leases(which):
            batch, shut = self.choose(which, data)
            assert self.send(batch, outcome, shut, delay) == {}
            self.written(batch, outcome, shut, delay)

    def send(self, batch: list[Taken], outcome: str, shut: bool, delay: float) -> dict[int, str]:
        """One flush; what it was told."""
        on, limited = self.bench.main, self.takes_turns(batch)
        flush = verbs.finish(on, batch, outcome, shut=shut, delay=delay, limited=limited)
        answer: dict[int, str] = self.run(flush)
        return answer

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        """The answer to a flush was lost: it is sent again, however late."""
        batch, outcome, shut = data.draw(st.sampled_from(self.sent))
        if all(one.job_id in self.jobs for one in batch):  # not pruned meanwhile
            assert self.run(verbs.finish(self.bench.main, batch, outcome, shut=shut)) == {}

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), outcome=OUTCOMES, shut=st.booleans())
    def finish_too_late(self, data: st.DataObject, outcome: str, shut: bool) -> None:
        """A worker that lost its lease comes back. An attempt of that number which it has ended
        itself since, under another lease, is no news to it."""
        batch = data.draw(st.sampled_from(self.stale))
        answer = self.run(verbs.finish(self.bench.main, batch, outcome, shut=shut))
        assert answer == {
            one.job_id: "gone"
            for one in batch
            if not self.jobs[one.job_id].written_by(one.attempt, one.worker)
        }

    @precondition(lambda self: self.late and self.late.leases)
    @rule(which=HANDS, outcome=OUTCOMES)
    def finish_meanwhile(self, which: int, outcome: str) -> None:
        """While somebody else is at a lease, a flush that would end it is told to wait."""
        assert self.late is not None
        for lease in self.late.leases & self.leases[which].keys():
            batch = self.leases[which][lease]
            answer = self.run(verbs.finish(self.bench.main, batch, outcome))
            assert answer == {one.job_id: "busy" for one in batch}

    def rescuable(self, which: int) -> list[list[Taken]]:
        """The batches of one worker that nobody is at right now."""
        late = self.late.leases if self.late else set()
        return [batch for lease, batch in self.leases[which].items() if lease not in late]

    def verdicts(self, batches: list[list[Taken]]) -> dict[int, str]:
        """What rescue should decide."""
        return {one.job_id: self.jobs[one.job_id].verdict for batch in batches for one in batch}

    def taken_back(self, which: int, batches: list[list[Taken]]) -> None:
        """These leases are gone."""
        for batch in batches:
            for one in batch:
                self.jobs[one.job_id].lose()
            del self.leases[which][batch[0].lease_id]
            self.stale.append(batch)

    @rule(which=HANDS)
    def rescue(self, which: int) -> None:
        batches = self.rescuable(which)
        if self.counting and any(map(self.takes_turns, batches)):
            return  # it would wait for the open transaction
        found = self.run(verbs.rescue(self.bench.main, self.hands[which].worker))
        assert found == self.verdicts(batches)
        self.taken_back(which, batches)
