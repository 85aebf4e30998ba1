"""The judge sees each kind of broken promise; a run in which nothing is found is worth that much."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.facts import Facts
from tests.chaos.faults import BY_NAME
from tests.chaos.judge import judge
from tests.chaos.oracle import Story
from tests.chaos.verdict import Verdict, must_be_zero

WELL = ("quick", "once", "inner", "keyed", "keyed")


def job(id_: int, entrypoint: str) -> dict[str, object]:
    """A finished job."""
    key = "key" if entrypoint == "keyed" else None
    return {"id": id_, "entrypoint": entrypoint, "concurrency_key": key, "state": "succeeded"}


def attempt(id_: int, number: int = 1, outcome: str = "succeeded") -> dict[str, object]:
    """What worker 1 wrote."""
    return {
        "job_id": id_, "attempt": number, "outcome": outcome, "worker_id": 1, "error": None,
    }  # fmt: skip


class World:
    """Five jobs, 0 to 4, that ran one after the other and succeeded."""

    def __init__(self) -> None:
        jobs = {id_: job(id_, name) for id_, name in enumerate(WELL)}
        self.facts = Facts(jobs, [attempt(id_) for id_ in jobs], {2: 1})
        self.story = Story()
        for id_ in jobs:
            self.story.take("committed", id_, ["0.5"])
            self.run(id_, 1, start=id_ + 1, stop=id_ + 1.5)

    def run(self, id_: int, number: int, start: float, stop: float) -> None:
        """Worker 1, process 7, runs it."""
        for event, at in (("start", start), ("stop", stop)):
            self.story.take(event, id_, [str(number), "7", "1", str(at)])

    def verdict(self) -> Verdict:
        """After nothing but calm faults."""
        return judge(self.facts, self.story, 0.0, [BY_NAME["nothing"]])


BREAK: dict[str, Callable[[World], object]] = {
    "lost": lambda world: world.facts.jobs.pop(0),
    "ghosts": lambda world: world.story.take("rolled-back", 0, ["0.5"]),
    "completed_twice": lambda world: world.facts.attempts.append(attempt(0, 2)),
    "stale_outcomes_accepted": lambda world: world.facts.attempts.append(attempt(0, 2, "failed")),
    "effects_lost_or_doubled": lambda world: world.facts.effects.update({2: 2}),
    "started_although_once": lambda world: world.run(1, 2, 9, 9.5),
    "workers_that_gave_up": lambda world: world.story.take("gave-up", 0, ["OSError", "9"]),
    "started_twice": lambda world: world.run(0, 1, 9, 9.5),
    "overlapping_runs": lambda world: world.run(0, 2, 1.2, 1.4),
    "overlapping_runs_of_a_key": lambda world: world.run(3, 2, 5.2, 5.4),
    "attempts_cut_short": lambda world: world.facts.attempts.append(attempt(0, 2, "lost")),
}  # fmt: skip


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """Jobs that ran once each, one after the other, break no promise."""
    assert World().verdict().clean


@pytest.mark.parametrize("name", must_be_zero([BY_NAME["nothing"]]))
def test_each_broken_promise_is_seen(name: str) -> None:
    """Whatever must be zero is counted as soon as it is not."""
    world = World()
    BREAK[name](world)
    assert name in world.verdict().broken


def test_a_queue_that_does_not_drain_is_seen() -> None:
    """Work that is left when patience ends breaks the promise, too."""
    world = World()
    assert not judge(world.facts, world.story, float("inf"), []).clean
