"""The machine's memory, and what its rules share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from tests.sql.hands import Hand
from tests.sql.machine.bench import Bench
from tests.sql.machine.model import Late, Model
from tests.sql.verbs import Taken

HANDS = st.integers(0, 1)
KEYED = "keyed"  # the entrypoint whose jobs take turns


class Base(RuleBasedStateMachine):
    """Two producers, two claimers with marks, people, and one transaction that ends late."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        bench.run(bench.reset())
        self.jobs: dict[int, Model] = {}
        self.uncommitted: dict[int, dict[int, Model]] = {}
        self.hands = [Hand(on, worker) for worker, on in enumerate(bench.claimers, 1)]
        self.leases: list[dict[int, list[Taken]]] = [{}, {}]
        self.holding: dict[int, list[Taken]] = {}
        self.stale: list[list[Taken]] = []
        self.sent: list[tuple[list[Taken], str, bool]] = []
        self.late: Late | None = None

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.bench.run(work)

    # -- who would have to wait ---------------------------------------------------------------

    @property
    def late_jobs(self) -> set[int]:
        """The jobs that the late transaction has touched."""
        return self.late.jobs if self.late else set()

    @property
    def counting(self) -> bool:
        """Whether somebody holds the lock under which places are counted."""
        return self.late is not None and self.late.places

    @property
    def busy_keys(self) -> set[str | None]:
        """Unique keys that open transactions take or release."""
        new = (job for jobs in self.uncommitted.values() for job in jobs.values())
        touched = (self.jobs[id_] for id_ in self.late_jobs & self.jobs.keys())  # or pruned since
        return {job.key for job in (*new, *touched)} - {None}

    def holder(self, key: str | None) -> int | None:
        """The live job that holds a unique key."""
        live = (
            id_
            for id_, job in self.jobs.items()
            if key is not None and job.key == key and not job.finished
        )
        return next(live, None)

    def takes_turns(self, taken: Iterable[Taken]) -> bool:
        """Whether some of these jobs hold a place under a key."""
        return any(self.jobs[one.job_id].turn for one in taken)

    def free_leases(self, which: int) -> list[int]:
        """The leases of one hand whose jobs can be finished now without waiting for anybody."""
        return [
            lease
            for lease, taken in sorted(self.leases[which].items())
            if not (self.late and lease in self.late.leases)
            and not self.late_jobs & {one.job_id for one in taken}
            and not (self.counting and self.takes_turns(taken))
        ]

    def pick(self, data: st.DataObject) -> list[int]:
        """A few jobs, of any state, that no open transaction holds."""
        held = {one.job_id for taken in self.holding.values() for one in taken}
        free = sorted(self.jobs.keys() - held - self.late_jobs)
        by_state = {(self.jobs[id_].state, self.jobs[id_].turn is None): id_ for id_ in free}
        if not by_state:
            return []
        chosen = data.draw(st.lists(st.sampled_from(sorted(by_state.values())), max_size=3))
        return sorted(set(chosen))
