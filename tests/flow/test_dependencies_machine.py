"""Dependencies under any sequence of verbs, against a model of one page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pgq_core import NewJob
from tests.flow import steps
from tests.flow.bench import Bench, explore
from tests.sql import verbs
from tests.sql.verbs import UNDO, Taken

PICK = st.integers(0, 99)
PICKS = st.lists(PICK, min_size=1, max_size=3)
POLICIES = st.sampled_from([None, "cancel", "skip", "run", "only"])
FINISHED = ("succeeded", "failed", "cancelled", "skipped")
BAD = ("failed", "cancelled")


@dataclass
class Model:
    """One job: whom it waits for still, whom it was told to wait for, its last attempt's outcome."""

    after: list[int]
    policy: str
    state: str = "blocked"
    last: str = ""
    waits: set[int] = field(default_factory=set)


class Machine(RuleBasedStateMachine):
    """Jobs that come in one by one or together, and end in any way."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.on = bench, bench.main
        bench.reset()
        self.jobs: dict[int, Model] = {}
        self.running: dict[int, Taken] = {}

    def run(self, work: Any) -> Any:
        return self.bench.run(work)

    def picked(self, picks: list[int], *states: str) -> list[int]:
        known = [id_ for id_, job in self.jobs.items() if not states or job.state in states]
        return list(dict.fromkeys(known[pick % len(known)] for pick in picks)) if known else []

    # -- what the rules say ---------------------------------------------------------------------

    def add(self, id_: int, after: list[int], policy: str | None) -> None:
        self.jobs[id_] = job = Model(after, policy or "cancel", waits=set(after))
        for other in after:
            if self.jobs[other].state in FINISHED and job.state == "blocked":
                self.told(id_, other)
        if not after:
            job.state = "ready"

    def end(self, id_: int, outcome: str) -> None:
        self.jobs[id_].state = self.jobs[id_].last = outcome
        for other, job in list(self.jobs.items()):
            if job.state == "blocked" and id_ in job.waits:
                self.told(other, id_)

    def told(self, id_: int, ended: int) -> None:
        """A predecessor has ended."""
        job = self.jobs[id_]
        job.waits.discard(ended)
        bad = self.jobs[ended].last in BAD
        if not job.waits:
            bad = bad or any(self.jobs[other].last in BAD for other in job.after)
        elif not bad or job.policy == "run":
            return
        if job.policy == "run" or bad is (job.policy == "only"):
            job.state = "ready"
        else:
            self.end(id_, "cancelled" if job.policy == "cancel" else "skipped")

    # -- rules ----------------------------------------------------------------------------------

    @rule(picks=st.lists(PICK, max_size=3), policy=POLICIES)
    def enqueue(self, picks: list[int], policy: str | None) -> None:
        after = self.picked(picks)
        job = NewJob("work", after=after, on_failure=policy)
        self.add(self.run(steps.add(self.on, job))[0], after, policy)

    @rule(
        shape=st.lists(st.tuples(st.lists(st.integers(0, 4), max_size=2), POLICIES), min_size=2,
                       max_size=5),
        shuffled=st.randoms(use_true_random=False),
    )  # fmt: skip
    def enqueue_together(self, shape: list[tuple[list[int], str | None]], shuffled: Any) -> None:
        jobs: list[NewJob] = []
        for befores, policy in shape:
            after = [jobs[before] for before in set(befores) if before < len(jobs)]
            jobs.append(NewJob("work", after=after, on_failure=policy))
        order = list(range(len(jobs)))
        shuffled.shuffle(order)
        ids = self.run(steps.add(self.on, *(jobs[place] for place in order)))
        names = {id(jobs[place]): id_ for place, id_ in zip(order, ids, strict=True)}
        for job in jobs:
            self.add(names[id(job)], [names[id(other)] for other in job.after], job.on_failure)

    @rule(count=st.integers(1, 6))
    def claim(self, count: int) -> None:
        for taken in self.run(verbs.claim(self.on, count)).jobs:
            assert self.jobs[taken.job_id].state == "ready"
            self.jobs[taken.job_id].state, self.running[taken.job_id] = "running", taken

    @precondition(lambda self: self.running)
    @rule(picks=PICKS, outcome=st.sampled_from(["succeeded", "succeeded", "failed", "cancelled"]))
    def finish(self, picks: list[int], outcome: str) -> None:
        ids = self.picked(picks, "running")
        batch = [self.running.pop(id_) for id_ in ids]
        assert self.run(verbs.finish(self.on, batch, outcome, shut=False)) == {}
        for id_ in ids:
            self.jobs[id_].last = outcome  # one flush: all outcomes are there at once
        for id_ in ids:
            self.end(id_, outcome)

    @precondition(lambda self: self.running)
    @rule(pick=PICK, outcome=st.sampled_from(["retry", "snooze", "interrupted"]))
    def come_back(self, pick: int, outcome: str) -> None:
        (id_,) = self.picked([pick], "running")
        taken = self.running.pop(id_)
        assert self.run(verbs.finish(self.on, taken, outcome, shut=False)) == {}
        self.jobs[id_].state, self.jobs[id_].last = "ready", outcome

    @rule(picks=PICKS)
    def cancel(self, picks: list[int]) -> None:
        for id_ in self.picked(picks, "ready", "blocked"):
            if self.jobs[id_].state in ("ready", "blocked"):
                assert self.run(verbs.queries(self.on).cancel([id_])) == {id_: "cancelled"}
                self.end(id_, "cancelled")

    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        for id_ in self.picked([pick], *FINISHED):
            assert self.run(verbs.queries(self.on).retry([id_])) == {id_: "retried"}
            self.jobs[id_].state = "ready"

    @precondition(lambda self: self.running)
    @rule(pick=PICK, policy=POLICIES, outcome=st.sampled_from(["succeeded", "failed"]))
    def enqueue_while_it_ends(self, pick: int, policy: str | None, outcome: str) -> None:
        (id_,) = self.picked([pick], "running")

        async def cross() -> int:
            other = self.bench.on[1]
            async with verbs.held(other):
                await verbs.finish(other, self.running.pop(id_), outcome, shut=False)
                (new,) = await steps.add(self.on, NewJob("work", after=[id_], on_failure=policy))
            await steps.sweep(self.on)
            return new

        self.add(self.run(cross()), [id_], policy)
        self.end(id_, outcome)

    @precondition(lambda self: len(self.running) > 1)
    @rule(
        one=st.sampled_from(["succeeded", "failed"]), two=st.sampled_from(["succeeded", "failed"])
    )
    def two_end_at_once(self, one: str, two: str) -> None:
        first, second = list(self.running)[:2]

        async def cross() -> None:
            other = self.bench.on[1]
            async with verbs.held(other):
                await verbs.finish(other, self.running.pop(first), one, shut=False)
                await verbs.finish(self.on, self.running.pop(second), two, shut=False)
            await steps.sweep(self.on)

        self.run(cross())
        self.jobs[first].last, self.jobs[second].last = one, two
        self.end(second, two)
        self.end(first, one)

    @rule(picks=PICKS)
    def enqueue_and_roll_back(self, picks: list[int]) -> None:
        after = self.picked(picks)

        async def undone() -> None:
            async with verbs.held(self.on, end=UNDO):
                await steps.add(self.on, NewJob("work", after=after))

        self.run(undone())

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        rows = self.run(
            self.on.fetch("SELECT id, state, last_error ->> 'type' AS why FROM pgq_job_states")
        )
        found = {
            row["id"]: "skipped" if row["state"] == "cancelled" and row["why"] == "Skipped" else row["state"]
            for row in rows
        }  # fmt: skip
        assert found == {id_: job.state for id_, job in self.jobs.items()}

    @invariant()
    def edges_stand_for_what_is_waited_for(self) -> None:
        rows = self.run(self.on.fetch("SELECT after_id, job_id FROM pgq_edges"))
        assert {tuple(row) for row in rows} == {
            (other, id_)
            for id_, job in self.jobs.items()
            if job.state == "blocked"
            for other in job.waits
        }

    def teardown(self) -> None:
        """Nothing is blocked for ever."""
        for _ in range(len(self.jobs) + 2):
            Machine.claim(self, 100)
            for id_ in list(self.running):
                self.run(verbs.finish(self.on, self.running.pop(id_), shut=False))
                self.jobs[id_].last = "succeeded"
                self.end(id_, "succeeded")
        self.every_job_is_where_the_model_says()
        assert all(job.state in FINISHED for job in self.jobs.values())


def test_any_sequence_of_verbs(bench: Bench) -> None:
    """Whatever is enqueued, alone, together or while others end, and however it ends: each job runs,
    waits, is skipped or cancelled exactly as the rules say, and none is blocked for ever."""
    explore(lambda: Machine(bench), examples=40, steps=30)
