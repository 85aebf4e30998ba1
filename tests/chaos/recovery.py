"""How long the work stood still after a fault."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.faults import BY_NAME
from tests.chaos.occurrence import Occurrence
from tests.chaos.oracle import Run, Story

LONGEST = 30.0  # seconds that a fault goes on
Cut = Mapping[int, set[int]]  # job → the attempts that had no end of their own


@dataclass
class Recovery:
    """Of one fault: seconds until the jobs that it cut began again, and until the next new job did.

    Counted are jobs that may start at once: those with a key wait for others, and a job that has
    seen two workers die waits until it may run alone.
    """

    times: int = 0
    again: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)


def recoveries(story: Story, occurred: Iterable[Occurrence], cut: Cut) -> dict[str, Recovery]:
    """By the fault's name."""
    deeds = [*occurred, *(Occurrence(f.name, f.at, {f.pid}) for f in story.fatals)]
    deeds.sort(key=lambda deed: deed.at)
    found: dict[str, Recovery] = defaultdict(Recovery)
    commits = sorted((at, job) for job, at in story.committed.items() if job in story.runs)
    place = 0
    for deed in deeds:
        found[deed.name].times += 1
        while place < len(commits) and commits[place][0] < deed.at:
            place += 1
        if place < len(commits):
            at, job = commits[place]
            found[deed.name].fresh.append(max(0.0, min(r.start for r in story.runs[job]) - at))
    for name, seconds in begun_again(story, deeds, cut):
        found[name].again.append(seconds)
    return dict(found)


def begun_again(story: Story, deeds: Sequence[Occurrence], cut: Cut) -> Iterable[tuple[str, float]]:
    """Per run that was cut: the fault that did it, and how long until the job's next start."""
    for job in story.committed.keys() & story.runs.keys():
        runs = story.runs[job]
        for one, next_ in pairwise(sorted(runs, key=lambda run: run.start)):
            if one.attempt > 1 or one.attempt not in cut.get(job, set()):
                continue
            suspects = [deed for deed in deeds if may_have_cut(deed, one, next_)]
            if suspects:
                guilty = max(suspects, key=lambda deed: likelihood(deed, one))
                yield guilty.name, next_.start - max(guilty.at, one.start)


def may_have_cut(deed: Occurrence, run: Run, next_: Run) -> bool:
    """Whether it was aimed at this process, or at all of them, and happened in time."""
    if deed.pids is None and is_calm(deed):
        return False
    end = math.inf if run.stop is None or run.cut else run.stop
    latest = min(end, next_.start)
    return run.start - LONGEST <= deed.at <= latest and (deed.pids is None or run.pid in deed.pids)


def is_calm(deed: Occurrence) -> bool:
    """Whether nobody loses a job over it."""
    fault = BY_NAME.get(deed.name)
    return fault is not None and fault.calm


def likelihood(deed: Occurrence, run: Run) -> tuple[bool, bool, float]:
    """Rather one that came while it ran, was aimed at its process, and came late."""
    return deed.at >= run.start, deed.pids is not None, deed.at


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that is not below this share of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
