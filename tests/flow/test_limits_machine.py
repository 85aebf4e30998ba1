"""Limits and keys under any sequence of verbs: never exceeded, in order, nobody left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.flow import steps
from tests.flow.bench import Bench, explore
from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO, Taken

KEYS = st.sampled_from(["a", "b", None])
PICK = st.integers(0, 99)
FINISHED = ("succeeded", "failed", "cancelled")


@dataclass
class Model:
    """One job: `begun` from its first start until its end."""

    key: str | None
    priority: int
    begun: bool = False
    over: bool = False


class Machine(RuleBasedStateMachine):
    """Two workers, one entrypoint, a limit that may change."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.on = bench, bench.main
        bench.reset()
        self.jobs: dict[int, Model] = {}
        self.running: dict[int, Taken] = {}
        self.limit = 1
        self.held: Counter[str] = Counter()  # places taken after the step before
        self.loose: set[str | None] = set()  # keys that had more than one place not long ago
        self.workers = [self.run(verbs.register(self.on)) for _ in range(2)]
        self.run(steps.limit(self.on, concurrency=1))

    def run(self, work: Any) -> Any:
        return self.bench.run(work)

    def start(self, taken: Taken) -> None:
        """A job starts once at a time, and under a limit of 1 only in its turn."""
        job = self.jobs[taken.job_id]
        assert not job.over
        assert taken.job_id not in self.running
        if job.key not in (None, *self.loose) and not job.begun:
            same = (job.key, job.priority)
            assert all(
                elder.over
                for id_, elder in self.jobs.items()
                if (elder.key, elder.priority) == same and id_ < taken.job_id
            )
        job.begun, self.running[taken.job_id] = True, taken

    def end(self, id_: int, outcome: str) -> None:
        del self.running[id_]
        self.jobs[id_].over = outcome in FINISHED

    # -- rules ----------------------------------------------------------------------------------

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), priority=st.sampled_from([5, 5, 5, 1]))
    def enqueue(self, keys: list[str | None], priority: int) -> None:
        ids = self.run(
            verbs.enqueue(self.on, count=len(keys), concurrency_keys=keys, priorities=priority)
        )
        self.jobs |= {id_: Model(key, priority) for id_, key in zip(ids, keys, strict=True)}

    @rule(count=st.integers(1, 6), which=st.integers(0, 1))
    def claim(self, count: int, which: int) -> None:
        claimed = self.run(steps.claim_limited(self.on, count, worker=self.workers[which]))
        for taken in claimed.jobs:
            self.start(taken)

    @rule(which=st.integers(0, 1))
    def claim_alone(self, which: int) -> None:
        lanes = [self.run(verbs.lane(self.on, "work", priority, "alone")) for priority in (1, 5)]
        claimed = self.run(verbs.claim(self.on, 1, of=lanes, worker=self.workers[which]))
        for taken in claimed.jobs:
            self.start(taken)

    @rule(which=st.integers(0, 1), commits=st.booleans())
    def two_claims_at_once(self, which: int, commits: bool) -> None:
        """One of them is not committed yet when the other comes, and may roll back."""

        async def both() -> list[Any]:
            one, two = self.bench.on if which else self.bench.on[::-1]
            async with verbs.held(one, end=KEEP if commits else UNDO):
                first = await steps.claim_limited(one, 3, worker=self.workers[0])
                second = await steps.claim_limited(two, 3, worker=self.workers[1])
            return [*(first.jobs if commits else []), *second.jobs]

        for taken in self.run(both()):
            self.start(taken)

    @precondition(lambda self: self.running)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=3),
        outcome=st.sampled_from([*FINISHED, "succeeded", "retry", "snooze", "interrupted"]),
        delay=st.sampled_from([0.0, 900.0]),
    )
    def finish(self, picks: list[int], outcome: str, delay: float) -> None:
        running = list(self.running)
        for id_ in dict.fromkeys(running[pick % len(running)] for pick in picks):
            taken = self.running[id_]
            self.run(steps.finish(self.on, taken, outcome, shut=False, delay=delay))
            self.end(id_, outcome)

    @precondition(lambda self: len(self.running) > 1)
    @rule(outcome=st.sampled_from(["succeeded", "retry"]))
    def two_finish_at_once(self, outcome: str) -> None:
        one, two = list(self.running)[:2]

        async def both() -> None:
            first, second = self.bench.on
            async with verbs.held(first):
                await steps.finish(first, self.running[one], outcome, shut=False)
                finishing = asyncio.create_task(
                    steps.finish(second, self.running[two], "succeeded", shut=False)
                )
                await asyncio.sleep(0.002)
            await finishing

        self.run(both())
        self.end(one, outcome)
        self.end(two, "succeeded")

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        worker = self.workers[which]
        self.run(verbs.silence(self.on, worker))
        for id_, outcome in self.run(verbs.rescue(self.on, worker)).items():
            self.end(id_, outcome)
        self.workers[which] = self.run(verbs.register(self.on))

    @precondition(lambda self: any(not job.over for job in self.jobs.values()))
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        waiting = [i for i, job in self.jobs.items() if not job.over and i not in self.running]
        if waiting:
            id_ = waiting[pick % len(waiting)]
            assert self.run(verbs.queries(self.on).cancel([id_])) == {id_: "cancelled"}
            self.jobs[id_].over = True

    @rule(limit=st.integers(1, 3))
    def change_the_limit(self, limit: int) -> None:
        self.run(steps.limit(self.on, concurrency=limit))
        self.limit = limit
        if limit > 1:
            self.loose = {"a", "b"}

    @rule()
    def due(self) -> None:
        self.run(self.on.execute("UPDATE pgq_deferred SET run_at = now() - interval '1 s'"))
        self.run(verbs.look(self.on))

    @rule()
    def sweep(self) -> None:
        self.run(steps.sweep(self.on))
        behind = self.run(
            self.on.fetch("""
            SELECT b.scope FROM pgq_blocked AS b GROUP BY b.scope
            HAVING (SELECT count(*) FROM pgq_holders AS h WHERE h.scope = b.scope)
                < (SELECT concurrency FROM pgq_limits)
        """)
        )
        assert behind == [], "somebody waits at a key that is free"

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def a_place_is_taken_only_below_the_limit(self) -> None:
        held = self.run(steps.holders(self.on))
        for scope, ids in held.items():
            assert len(ids) <= max(self.limit, self.held[scope])
        self.held = Counter({scope: len(ids) for scope, ids in held.items()})
        if self.limit == 1:
            self.loose -= {key for key in ("a", "b") if not self.held[f"key:{key}"]}

    @invariant()
    def who_runs_has_a_place(self) -> None:
        held = self.run(steps.holders(self.on))
        for id_ in self.running:
            key = self.jobs[id_].key
            assert id_ in held["limit" if key is None else f"key:{key}"]

    def teardown(self) -> None:
        """Everything that is left is found and ends."""
        for _ in range(len(self.jobs) + 20):
            for id_, taken in list(self.running.items()):
                self.run(steps.finish(self.on, taken, shut=False))
                self.end(id_, "succeeded")
            Machine.due(self)
            Machine.sweep(self)
            Machine.claim(self, 6, 0)
            Machine.claim_alone(self, 0)
            if all(job.over for job in self.jobs.values()):
                break
        assert all(job.over for job in self.jobs.values())
        assert self.run(steps.holders(self.on)) == {}


def test_any_sequence_of_verbs(bench: Bench) -> None:
    """Whatever is claimed, finished, retried, cancelled, lost or declared, in any order and two at
    once: no limit is exceeded, jobs of a key start in order, and every job gets its turn."""
    explore(lambda: Machine(bench), examples=40, steps=40)
