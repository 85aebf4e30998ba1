"""The oracle's story against what the database says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from tests.chaos.facts import KILLED, LAST, Facts
from tests.chaos.faults import Fault
from tests.chaos.oracle import Run, Story, overlaps
from tests.chaos.verdict import Verdict, must_be_zero

OWN = ("succeeded", "failed", "retry")  # outcomes that only a run to its end can have
HARMFUL = ("segfault", "out_of_memory", "hang_in_c")


def judge(facts: Facts, story: Story, drained: float, faults: Iterable[Fault]) -> Verdict:
    """Compare."""
    ran, there = set(story.runs), set(facts.jobs)
    heard = story.all_committed | story.unknown
    left = facts.waiting if math.isinf(drained) else set[int]()
    by_key: dict[str, list[Run]] = {}
    for id_, runs in story.runs.items():
        if (key := facts.jobs[id_]["concurrency_key"] if id_ in there else None) is not None:
            by_key.setdefault(key, []).extend(runs)
    return Verdict(
        committed=len(story.all_committed),
        answer_lost=len(story.unknown),
        rolled_back=len(story.rolled_back),
        finished=len(facts.finished),
        lost=len((story.all_committed | there) - facts.finished - left),
        left_when_patience_ended=len(left),
        ghosts=len(ran & story.rolled_back) + len(ran - heard - there),
        completed_twice=sum(count > 1 for count in successes(facts).values()),
        stale_outcomes_accepted=stale(facts, story),
        effects_lost_or_doubled=wrong_effects(facts),
        started_although_once=sum(len(story.runs[id_]) > 1 for id_ in facts.named("once") & ran),
        workers_that_gave_up=story.gave_up,
        started_twice=sum(starts > 1 for starts in attempts_started(story).values()),
        overlapping_runs=sum(map(overlaps, story.runs.values())),
        overlapping_runs_of_a_key=sum(map(overlaps, by_key.values())),
        attempts_cut_short=sum(map(len, facts.cut.values())),
        failed_for_workers_deaths=len(facts.killers),
        of_these_innocent=len(facts.killers - facts.named("once", *HARMFUL)),
        seconds_to_drain=round(drained, 1),
        zero=must_be_zero(faults),
    )


def successes(facts: Facts) -> Counter[int]:
    """How often each job succeeded."""
    return Counter(row["job_id"] for row in facts.attempts if row["outcome"] == "succeeded")


def attempts_started(story: Story) -> Counter[tuple[int, int]]:
    """How often each attempt of each job began."""
    return Counter((id_, run.attempt) for id_, runs in story.runs.items() for run in runs)


def stale(facts: Facts, story: Story) -> int:
    """Outcomes of workers that had lost the job: followed by another attempt, or written where this
    attempt never came to its end."""
    newest = Counter[int]()
    for row in facts.attempts:
        newest[row["job_id"]] = max(newest[row["job_id"]], row["attempt"])
    count = 0
    for row in facts.attempts:
        overtaken = row["outcome"] in LAST and row["attempt"] < newest[row["job_id"]]
        own = row["outcome"] in OWN and row["error"] != KILLED
        count += overtaken or (own and not ended(story, row))
    return count


def ended(story: Story, row: Any) -> bool:
    """Whether the worker that wrote this outcome had run the attempt to its end."""
    return any(
        (run.attempt, run.worker) == (row["attempt"], row["worker_id"]) and run.stop is not None
        for run in story.runs.get(row["job_id"], [])
    )


def wrong_effects(facts: Facts) -> int:
    """Transactional jobs whose effect is not there exactly as often as they succeeded."""
    done = successes(facts)
    jobs = facts.named("inner", "hog")
    return sum(
        done[id_] != facts.effects.get(id_, 0) for id_ in chain(jobs, facts.effects.keys() - jobs)
    )
