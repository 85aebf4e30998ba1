"""Unique keys under any sequence of verbs, against a model of one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgq_core import NewJob
from tests.flow.bench import Bench, explore
from tests.sql import verbs
from tests.sql.verbs import Taken

KEYS = st.sampled_from(["a", "b", "c"])
PICK = st.integers(0, 99)
FINISHED = ("succeeded", "failed", "cancelled")


@dataclass
class Model:
    """One job."""

    key: str
    while_: str
    state: str = "waiting"


class Machine(RuleBasedStateMachine):
    """Who holds which key: job, and whether for a period."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.on = bench, bench.main
        bench.reset()
        self.jobs: dict[int, Model] = {}
        self.held: dict[str, tuple[int, bool]] = {}
        self.running: dict[int, Taken] = {}

    @initialize()
    def nothing(self) -> None:
        """Lanes exist from the example before."""

    def those(self, *states: str) -> list[int]:
        return [id_ for id_, job in self.jobs.items() if job.state in states]

    def release(self, id_: int, *, period: bool = False) -> None:
        """Its key is free, unless held for a period."""
        key = self.jobs[id_].key
        holder, for_period = self.held.get(key, (0, False))
        if holder == id_ and (period or not for_period):
            del self.held[key]

    # -- rules ----------------------------------------------------------------------------------

    @rule(
        keys=st.lists(KEYS, min_size=1, max_size=4),
        mode=st.sampled_from(["keep", "keep", "replace"]),
        while_=st.sampled_from(["unfinished", "waiting"]),
        period=st.booleans(),
        later=st.booleans(),
    )
    def enqueue(self, keys: list[str], mode: str, while_: str, period: bool, later: bool) -> None:
        options: dict[str, Any] = {
            "on_duplicate": mode, "unique_while": while_, "unique_for": 900 if period else None,
            "delay": 900 if later else None,
        }  # fmt: skip
        jobs = [NewJob("work", unique_key=key, **options) for key in keys]
        made = self.bench.run(verbs.queries(self.on).enqueue_many(jobs))
        answers = dict(zip(range(len(keys)), made, strict=True))
        for place, key in sorted(enumerate(keys), key=lambda pair: pair[1]):
            holder, _ = self.held.get(key, (0, False))
            replaced = mode == "replace" and holder and self.jobs[holder].state == "waiting"
            if replaced:
                self.jobs[holder].state = "cancelled"
                self.release(holder, period=True)
            assert answers[place].fresh is (not holder or bool(replaced))
            if answers[place].fresh:
                self.jobs[answers[place].id] = Model(key, while_)
                self.held[key] = (answers[place].id, period)
            else:
                assert answers[place].id == holder

    @rule(count=st.integers(1, 5))
    def claim(self, count: int) -> None:
        for taken in self.bench.run(verbs.claim(self.on, count)).jobs:
            job = self.jobs[taken.job_id]
            assert job.state == "waiting"
            job.state, self.running[taken.job_id] = "running", taken
            if job.while_ == "waiting":
                self.release(taken.job_id)

    @precondition(lambda self: self.running)
    @rule(pick=PICK, outcome=st.sampled_from([*FINISHED, "retry", "interrupted"]))
    def finish(self, pick: int, outcome: str) -> None:
        id_ = list(self.running)[pick % len(self.running)]
        assert (
            self.bench.run(verbs.finish(self.on, self.running.pop(id_), outcome, shut=False)) == {}
        )
        self.jobs[id_].state = outcome if outcome in FINISHED else "waiting"
        if outcome in FINISHED:
            self.release(id_)

    @precondition(lambda self: self.those("waiting"))
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        waiting = self.those("waiting")
        id_ = waiting[pick % len(waiting)]
        assert self.bench.run(verbs.queries(self.on).cancel([id_])) == {id_: "cancelled"}
        self.jobs[id_].state = "cancelled"
        self.release(id_)

    @precondition(lambda self: self.those(*FINISHED))
    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def retry(self, picks: list[int]) -> None:
        ended = self.those(*FINISHED)
        ids = list(dict.fromkeys(ended[pick % len(ended)] for pick in picks))
        verdicts = self.bench.run(verbs.queries(self.on).retry(ids))
        taken: set[str] = set()
        for id_ in ids:
            key = self.jobs[id_].key
            holder, period = self.held.get(key, (id_, False))
            first = next(i for i in ids if self.jobs[i].key == key)
            if holder == id_ and id_ == first and key not in taken:
                assert verdicts[id_] == "retried"
                taken.add(key)
                self.jobs[id_].state, self.held[key] = "waiting", (id_, period)
            else:
                assert verdicts[id_] == "held"

    @precondition(lambda self: any(period for _, period in self.held.values()))
    @rule()
    def periods_end(self) -> None:
        self.bench.run(self.on.execute("UPDATE pgq_locks SET expires_at = now() - interval '1 s'"
                                       " WHERE expires_at IS NOT NULL"))  # fmt: skip
        self.bench.run(verbs.call(self.on, "tidy"))
        self.held = {key: held for key, held in self.held.items() if not held[1]}

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def keys_are_held_as_the_model_says(self) -> None:
        rows = self.bench.run(
            self.on.fetch("SELECT unique_key, job_id, expires_at IS NOT NULL FROM pgq_locks")
        )
        assert {key: (id_, period) for key, id_, period in rows} == self.held

    @invariant()
    def jobs_are_where_the_model_says(self) -> None:
        found = self.bench.run(verbs.states(self.on))
        ready = ("ready", "deferred")
        assert {i: "waiting" if s in ready else s for i, s in found.items()} == {
            id_: job.state for id_, job in self.jobs.items()
        }


def test_any_sequence_of_verbs(bench: Bench) -> None:
    """Whatever is enqueued, replaced, claimed, finished, cancelled, retried, in any order: each key
    is held by exactly the job that the rules say."""
    explore(lambda: Machine(bench), examples=40, steps=30)
