"""Any sequence of verbs, at once, late or undone, against a small model: nothing lost or doubled.

The rules stand in `tests/sql/machine`. ``PGQ_TEST_EXAMPLES=1000`` looks longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.flow import steps
from tests.flow.bench import explore
from tests.sql import verbs
from tests.sql.machine.base import KEYED
from tests.sql.machine.bench import Bench
from tests.sql.machine.invariants import Invariants
from tests.sql.machine.late import LateOnes
from tests.sql.machine.producers import Producers

WAITING = ("ready", "deferred", "running")


class Machine(Producers, LateOnes, Invariants):
    """Every rule and everything that always holds."""

    def teardown(self) -> None:
        """Everything that is open ends; then every job is found, once."""
        if self.late:
            LateOnes.end_late(self, True)
        for producer in list(self.uncommitted):
            Producers.end_producer(self, producer, True)
        for which in list(self.holding):
            LateOnes.end_claim(self, which, False)
        for which in range(2):
            LateOnes.rescue(self, which)
        LateOnes.promote(self)
        self.find_everything()
        self.take_all_turns()
        self.every_attempt_has_its_one_outcome()

    def find_everything(self) -> None:
        """What is ready and takes no turns."""
        ready = [i for i, job in self.jobs.items() if job.state == "ready" and not job.turn]
        suspects = [id_ for id_ in ready if self.jobs[id_].crashes >= 2]
        found: list[int] = []
        for hand in self.hands:
            found += self.run(hand.everything())
        assert sorted(found + suspects) == sorted(ready)

    def take_all_turns(self) -> None:
        """Those under keys come one after the other, and none stays behind."""
        waiting = [i for i, job in self.jobs.items() if job.turn and job.state in WAITING]
        for _ in range(2 * len(waiting) + 4):
            taken = self.run(self.next_in_turn())
            for one in taken:
                assert self.jobs[one.job_id].state == "ready"
                assert self.send([one], "succeeded", False, 0.0) == {}
                self.jobs[one.job_id].end("succeeded", one.worker)
        assert all(self.jobs[id_].finished for id_ in waiting)
        assert self.run(steps.holders(self.bench.main)) == {}

    async def next_in_turn(self) -> list[Any]:
        """Whoever may start now, suspects too."""
        on = self.bench.main
        await steps.sweep(on)
        alone = [await verbs.lane(on, KEYED, kind="alone")]
        claims = [await steps.claim_limited(on, entrypoint=KEYED), await verbs.claim(on, of=alone)]
        return [one for claim in claims for one in claim.jobs]


@contextmanager
def opened(dsn: str) -> Iterator[Bench]:
    """Connections for the machine, on a loop of their own."""
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(Bench.open(dsn))
    yield made
    loop.run_until_complete(made.close())
    loop.close()


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    """The same, for a database with pgq installed."""
    with opened(database) as made:
        yield made


def test_any_sequence_of_verbs(bench: Bench) -> None:
    """Whatever is enqueued, claimed, parked, handed over, finished, lost, cancelled, put back or
    thrown away, in any order, committed late or undone by a crash: every job is in exactly the
    state it should be in, every attempt has one outcome, and nothing is lost or doubled."""
    explore(lambda: Machine(bench), examples=20, steps=40)
