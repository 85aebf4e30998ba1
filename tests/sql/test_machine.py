"""Any sequence of verbs, against a model of one page: nothing lost, nothing doubled.

``PGQ_TEST_EXAMPLES=1000`` looks longer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pgq_core.worker.lanes import END, Stretch
from tests.sql import verbs
from tests.sql.conftest import EMPTY
from tests.sql.hands import Hand
from tests.sql.verbs import AGAIN, ANY_AGE, KEEP, UNDO, Taken

T = TypeVar("T")
FINISHED = ("succeeded", "failed", "cancelled")
OUTCOMES = [*FINISHED, *AGAIN]
HOUR = timedelta(hours=1)
HANDS = st.integers(0, 1)
PRODUCERS = st.integers(0, 1)
SIZES = st.sampled_from([1, 2, 5, 300])  # 300 are more than the window below a mark
COUNTS = st.sampled_from([1, 3, 400])


@dataclass
class Bench:
    """Connections on a loop of their own, kept over all examples."""

    loop: asyncio.AbstractEventLoop
    main: Any
    producers: list[Any]
    claimers: list[Any]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def reset(self) -> None:
        for on in (*self.producers, *self.claimers):
            await on.execute(UNDO)
        await self.main.execute(EMPTY.replace("pg_terminate_backend(a.pid)", ""))
        await verbs.look(self.main)  # begins the epoch, outside anybody's transaction

    @classmethod
    async def open(cls, dsn: str) -> Bench:
        on = [await asyncpg.connect(dsn) for _ in range(5)]
        for one in on[1:]:  # ROLLBACK outside a transaction is no news
            await one.execute("SET client_min_messages = error")
        return cls(asyncio.get_running_loop(), on[0], on[1:3], on[3:])

    async def close(self) -> None:
        for on in (self.main, *self.producers, *self.claimers):
            await on.close()


@dataclass
class Model:
    """What should be true of one job."""

    state: str
    key: str | None = None
    cap: int = 5
    attempt: int = 0
    crashes: int = 0
    wish: bool = False
    history: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def end(self, outcome: str) -> None:
        self.state, self.wish = outcome, False
        self.history.append(outcome)

    def lose(self) -> str:
        """What rescue decides."""
        if self.cap == 1 or self.crashes + 1 >= 4:
            self.end("failed")
        elif self.wish:
            self.end("cancelled")
        else:
            self.crashes += 1
            self.state = "ready"
            self.history.append("lost")
            return "lost"
        return self.state

    def decide(self, outcome: str, delay: float) -> None:
        """What finish writes."""
        if outcome in FINISHED or self.wish:
            self.end(outcome if outcome in FINISHED else "cancelled")
        else:
            self.state = "deferred" if delay > 0 else "ready"
            self.history.append(outcome)


class Machine(RuleBasedStateMachine):
    """Two producers, two claimers with marks, and people."""

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

    # -- producers --------------------------------------------------------------------------

    @property
    def busy_keys(self) -> set[str | None]:
        return {job.key for jobs in self.uncommitted.values() for job in jobs.values()} - {None}

    def holder(self, key: str | None) -> int | None:
        live = (
            id_
            for id_, job in self.jobs.items()
            if key is not None and job.key == key and not job.finished
        )
        return next(live, None)

    def put(self, on: Any, into: dict[int, Model], new: Model, count: int, name: str) -> None:
        """Enqueue; a key that is held gives back its holder."""
        ids = self.bench.run(
            verbs.enqueue(
                on,
                name,
                count,
                run_at=HOUR if new.state == "deferred" else None,
                unique_keys=new.key,
                max_attempts=new.cap if new.cap != 5 else None,
                priorities=len(name),
            )
        )
        held = self.holder(new.key)
        if held is not None:
            assert set(ids) == {held}
        else:
            assert not self.jobs.keys() & set(ids)
            into.update({id_: Model(new.state, new.key, new.cap) for id_ in ids})

    @rule(
        count=SIZES,
        state=st.sampled_from(["ready", "ready", "deferred"]),
        key=st.sampled_from([None, None, "a", "b"]),
        cap=st.sampled_from([5, 5, 1]),
        name=st.sampled_from(["x", "yy"]),
        producer=st.sampled_from([None, None, 0, 1]),
    )
    def enqueue(
        self, count: int, state: str, key: str | None, cap: int, name: str, producer: int | None
    ) -> None:
        key = key and f"{name}'s {key}"  # a key belongs to its entrypoint
        if key in self.busy_keys:
            return  # it would wait for the open transaction
        on, into = self.bench.main, self.jobs
        if producer is not None:
            on = self.bench.producers[producer]
            if producer not in self.uncommitted:
                self.bench.run(on.execute("BEGIN"))
            into = self.uncommitted.setdefault(producer, {})
        self.put(on, into, Model(state, key, cap), 1 if key else count, name)

    @precondition(lambda self: self.uncommitted)
    @rule(producer=PRODUCERS, keep=st.booleans())
    def end_producer(self, producer: int, keep: bool) -> None:
        if producer in self.uncommitted:
            self.bench.run(self.bench.producers[producer].execute(KEEP if keep else UNDO))
            made = self.uncommitted.pop(producer)
            self.jobs.update(made if keep else {})

    # -- claimers ---------------------------------------------------------------------------

    def taken(self, which: int, ids: list[int]) -> list[Taken]:
        hand = self.hands[which]
        runs, hand.found = hand.found, []
        assert [run.job.id for run in runs] == ids
        for run in runs:
            job = self.jobs[run.job.id]
            assert job.state == "ready"
            assert run.job.attempt == len(job.history) + 1
            assert (run.crashes, run.cap) == (job.crashes, job.cap)
            assert all(run.job.id not in {t.job_id for t in held} for held in self.holding.values())
        return [
            Taken(
                run.job.id, run.job.attempt, run.lane_id, 0, run.lease.id, run.lease.token,
                hand.worker, run.spent, run.crashes, run.cap, run.job.entrypoint, None,
            )
            for run in runs
        ]  # fmt: skip

    def running(self, which: int, taken: list[Taken]) -> None:
        for one in taken:
            self.jobs[one.job_id].state = "running"
            self.leases[which].setdefault(one.lease_id, []).append(one)

    async def take(self, which: int, count: int, how: str) -> list[int]:
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
            ids = self.bench.run(self.take(which, count, how))
            assert len(ids) <= count
            self.running(which, self.taken(which, ids))

    @precondition(lambda self: len(self.holding) < 2)
    @rule(which=HANDS, count=COUNTS)
    def begin_claim(self, which: int, count: int) -> None:
        if which not in self.holding:
            self.bench.run(self.hands[which].on.execute("BEGIN"))
            ids = self.bench.run(self.take(which, count, "plan"))
            self.holding[which] = self.taken(which, ids)

    @precondition(lambda self: self.holding)
    @rule(which=HANDS, keep=st.booleans())
    def end_claim(self, which: int, keep: bool) -> None:
        if which in self.holding:
            self.bench.run(self.hands[which].on.execute(KEEP if keep else UNDO))
            taken = self.holding.pop(which)
            self.running(which, taken if keep else [])

    # -- outcomes ---------------------------------------------------------------------------

    @precondition(lambda self: any(self.leases))
    @rule(
        which=HANDS,
        data=st.data(),
        outcome=st.sampled_from(OUTCOMES),
        delay=st.sampled_from([0.0, 3600.0]),
    )
    def finish(self, which: int, data: st.DataObject, outcome: str, delay: float) -> None:
        """Some or all jobs of one lease."""
        if not self.leases[which]:
            return
        lease = data.draw(st.sampled_from(sorted(self.leases[which])))
        open_ = self.leases[which][lease]
        batch = open_[: data.draw(st.sampled_from([1, len(open_)]))]
        shut = len(batch) == len(open_)
        answer = self.bench.run(
            verbs.finish(self.bench.main, batch, outcome, shut=shut, delay=delay)
        )
        assert answer == {}
        for one in batch:
            self.jobs[one.job_id].decide(outcome, delay)
        self.leases[which][lease] = open_[len(batch) :]
        if shut:
            del self.leases[which][lease]
        self.sent.append((batch, outcome, shut))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        """The answer to a flush was lost: it is sent again, however late."""
        batch, outcome, shut = data.draw(st.sampled_from(self.sent))
        if all(one.job_id in self.jobs for one in batch):  # not pruned meanwhile
            answer = self.bench.run(verbs.finish(self.bench.main, batch, outcome, shut=shut))
            assert answer == {}

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), shut=st.booleans())
    def finish_too_late(self, data: st.DataObject, outcome: str, shut: bool) -> None:
        """A worker that lost its lease comes back."""
        batch = data.draw(st.sampled_from(self.stale))
        answer = self.bench.run(verbs.finish(self.bench.main, batch, outcome, shut=shut))
        assert answer == {one.job_id: "gone" for one in batch}

    @rule(which=HANDS)
    def rescue(self, which: int) -> None:
        held = [one for batch in self.leases[which].values() for one in batch]
        found = self.bench.run(verbs.rescue(self.bench.main, self.hands[which].worker))
        assert found == {one.job_id: self.jobs[one.job_id].lose() for one in held}
        self.stale += [batch for batch in self.leases[which].values() if batch]
        self.leases[which] = {}

    # -- time and people --------------------------------------------------------------------

    @rule()
    def promote(self) -> None:
        """An hour passes."""
        due = [id_ for id_, job in self.jobs.items() if job.state == "deferred"]
        self.bench.run(
            self.bench.main.execute("UPDATE pgq_deferred SET run_at = run_at - interval '2 hours'")
        )
        while self.bench.run(verbs.look(self.bench.main))["promoted"]:
            pass
        for id_ in due:
            self.jobs[id_].state = "ready"

    def pick(self, data: st.DataObject) -> list[int]:
        """A few jobs that no open claim holds: a caller would wait for it."""
        held = {one.job_id for taken in self.holding.values() for one in taken}
        free = sorted(self.jobs.keys() - held)
        by_state = {self.jobs[id_].state: id_ for id_ in free}
        chosen = data.draw(st.lists(st.sampled_from(sorted(by_state.values())), max_size=3))
        return sorted(set(chosen))

    @precondition(lambda self: len(self.jobs) > sum(map(len, self.holding.values())))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = self.pick(data)
        found = self.bench.run(verbs.cancel(self.bench.main, *ids))
        for id_ in ids:
            job = self.jobs[id_]
            if job.finished:
                assert found[id_] == "finished"
            elif job.state == "running":
                assert found[id_] == "requested"
                job.wish = True
            else:
                assert found[id_] == "cancelled"
                job.end("cancelled")

    @precondition(lambda self: len(self.jobs) > sum(map(len, self.holding.values())))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ids = [id_ for id_ in self.pick(data) if self.jobs[id_].key not in self.busy_keys]
        found = self.bench.run(verbs.retry(self.bench.main, *ids))
        for id_ in ids:
            job = self.jobs[id_]
            if not job.finished:
                assert found[id_] == "running"
            elif self.holder(job.key) is not None:
                assert found[id_] == "held"
            else:
                assert found[id_] == "retried"
                job.state, job.crashes, job.wish = "ready", 0, False

    @rule()
    def prune(self) -> None:
        self.bench.run(verbs.call(self.bench.main, "prune", from_id=0, limit=100_000, **ANY_AGE))
        rows = self.bench.run(self.bench.main.fetch("SELECT unnest(job_ids) FROM pgq_leases"))
        leased = {row[0] for row in rows}
        self.jobs = {
            id_: job for id_, job in self.jobs.items() if not job.finished or id_ in leased
        }
        self.stale = [
            batch for batch in self.stale if all(one.job_id in self.jobs for one in batch)
        ]

    # -- what must be true ------------------------------------------------------------------

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        found = self.bench.run(verbs.states(self.bench.main))
        assert found == {id_: job.state for id_, job in self.jobs.items()}

    @invariant()
    def keys_are_held_by_live_jobs(self) -> None:
        held = self.bench.run(verbs.held_keys(self.bench.main))
        assert held == {
            job.key: id_ for id_, job in self.jobs.items() if job.key and not job.finished
        }

    @invariant()
    def no_floor_is_above_a_job(self) -> None:
        """Not even above one that is not committed, or held by a claim that may roll back."""
        for on in (self.bench.main, *self.bench.producers):
            heads = self.bench.run(
                on.fetch("SELECT lane_id, min(position) FROM pgq_ready GROUP BY lane_id")
            )
            for lane_id, position in heads:
                for hand in self.hands:
                    if lane_id in hand.lanes.by_id:
                        assert hand.lanes.by_id[lane_id].floor < position

    def teardown(self) -> None:
        """Everything that is open ends; then every ready job is found, once."""
        for producer in list(self.uncommitted):
            Machine.end_producer(self, producer, True)
        for which in list(self.holding):
            Machine.end_claim(self, which, False)
        ready = [id_ for id_, job in self.jobs.items() if job.state == "ready"]
        suspects = [id_ for id_ in ready if self.jobs[id_].crashes >= 2]
        found: list[int] = []
        for hand in self.hands:
            found += self.bench.run(hand.everything())
        assert sorted(found + suspects) == sorted(ready)


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    """Connections for the machine, on a loop of their own."""
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(Bench.open(database))
    yield made
    loop.run_until_complete(made.close())
    loop.close()


def test_any_sequence_of_verbs(bench: Bench) -> None:
    """Whatever is enqueued, claimed, finished, lost, cancelled or rolled back, in any order:
    every job is in exactly the state it should be in, and none is lost or doubled."""
    run_state_machine_as_test(
        lambda: Machine(bench),  # type: ignore[arg-type]
        settings=settings(
            max_examples=int(os.environ.get("PGQ_TEST_EXAMPLES", "15")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
