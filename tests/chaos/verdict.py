"""The oracle's story against what the database says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from tests.chaos.oracle import Story, overlaps

STATES = "SELECT id, state FROM pgq_job_states"
SUCCESSES = """
SELECT job_id, count(*) FROM pgq_attempts WHERE outcome = 'succeeded' GROUP BY job_id
"""
LOST = "SELECT job_id, attempt, finished_at FROM pgq_attempts WHERE outcome = 'lost'"
LATER = """
SELECT count(*) FROM pgq_attempts AS a
WHERE a.outcome = 'succeeded'
    AND EXISTS (SELECT FROM pgq_attempts AS b WHERE b.job_id = a.job_id AND b.attempt > a.attempt)
"""


@dataclass
class Verdict:
    """The figures; those in ZERO must be zero."""

    committed: int
    unknown: int
    rolled_back: int
    finished: int
    lost: int
    ghosts: int
    completed_twice: int
    stale_accepted: int
    started_twice: int
    overlapping: int
    interrupted_by_faults: int
    seconds_to_drain: float

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        zero = (self.lost, self.ghosts, self.completed_twice, self.stale_accepted)
        return not any(zero) and self.seconds_to_drain != float("inf")

    def lines(self) -> str:
        """For people."""
        return "\n".join(
            f"{name.replace('_', ' '):>24}  {value}" for name, value in asdict(self).items()
        )


async def judge(connection: asyncpg.Connection, story: Story, drained: float) -> Verdict:
    """Compare, when everything is quiet."""
    states: dict[int, str] = dict(await connection.fetch(STATES))
    successes: dict[int, int] = dict(await connection.fetch(SUCCESSES))
    lost_attempts: list[Any] = await connection.fetch(LOST)
    committed, ran = set(story.committed), set(story.runs)
    finished = {
        job for job, state in states.items() if state in ("succeeded", "failed", "cancelled")
    }
    tries = {job: len({(r.attempt, r.pid) for r in runs}) for job, runs in story.runs.items()}
    return Verdict(
        committed=len(committed),
        unknown=len(story.unknown),
        rolled_back=len(story.rolled_back),
        finished=len(finished),
        lost=len(committed - finished),
        ghosts=len(ran & story.rolled_back) + len(ran - committed - story.unknown - set(states)),
        completed_twice=sum(count > 1 for count in successes.values()),
        stale_accepted=await connection.fetchval(LATER),
        started_twice=sum(count > 1 for count in tries.values()),
        overlapping=sum(overlaps(runs) for runs in story.runs.values()),
        interrupted_by_faults=len(lost_attempts),
        seconds_to_drain=round(drained, 1),
    )
