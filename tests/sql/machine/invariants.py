"""What must be true after every step, and at the end."""

from __future__ import annotations

from hypothesis.stateful import invariant

from tests.flow import steps
from tests.sql import verbs
from tests.sql.machine.base import Base

HEADS = "SELECT lane_id, min(position) FROM pgq_ready GROUP BY lane_id"
HISTORY = "SELECT job_id, outcome FROM pgq_attempts ORDER BY job_id, attempt"


class Invariants(Base):
    """The database against the model."""

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        found = self.run(verbs.states(self.bench.main))
        parked = {id_ for id_, job in self.jobs.items() if job.turn and job.state == "ready"}
        expected = {id_: job.state for id_, job in self.jobs.items()}
        expected |= {id_: "blocked" for id_ in parked if found.get(id_) == "blocked"}
        assert found == expected

    @invariant()
    def keys_are_held_by_live_jobs(self) -> None:
        held = self.run(verbs.held_keys(self.bench.main))
        assert held == {
            job.key: id_ for id_, job in self.jobs.items() if job.key and not job.finished
        }

    @invariant()
    def who_runs_has_the_only_place(self) -> None:
        """Under a key one runs, has its place, and places are held by nobody who has ended."""
        places = self.run(steps.holders(self.bench.main))
        for scope, ids in places.items():
            assert len(ids) == 1
            assert not self.jobs[ids[0]].finished
            assert scope == f"key:{self.jobs[ids[0]].turn}"
        for id_, job in self.jobs.items():
            assert not (job.turn and job.state == "running") or places[f"key:{job.turn}"] == [id_]

    @invariant()
    def no_floor_is_above_a_job(self) -> None:
        """Not even above one that is not committed, or held by a claim that may roll back."""
        for on in (self.bench.main, *self.bench.producers, self.bench.late):
            for lane_id, position in self.run(on.fetch(HEADS)):
                for hand in self.hands:
                    if lane_id in hand.lanes.by_id:
                        assert hand.lanes.by_id[lane_id].floor < position

    def every_attempt_has_its_one_outcome(self) -> None:
        found: dict[int, list[str]] = {}
        for id_, outcome in self.run(self.bench.main.fetch(HISTORY)):
            found.setdefault(id_, []).append(outcome)
        assert found == {
            id_: [outcome for outcome, _ in job.history]
            for id_, job in self.jobs.items()
            if job.history
        }
