"""What really happened, written outside the queue: one short line per event, one write each.

Producers write after COMMIT returned (`committed`), when its answer was lost (`unknown`), after a
rollback (`rolled-back`); handlers write `start` and `stop`. Times are of the system-wide
monotonic clock.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


class Log:
    """Appends events to a file; a line is one write, so processes can share it."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, event: str, job: int, *more: object) -> None:
        """Write one event."""
        words = [event, job, *more, f"{time.monotonic():.6f}"]
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


@dataclass
class Run:
    """One start of a job, and its end when it was seen."""

    attempt: int
    pid: int
    start: float
    stop: float | None = None


@dataclass
class Story:
    """All events, sorted out."""

    committed: dict[int, float] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))


def read(path: str | Path) -> Story:
    """The story a log tells."""
    story = Story()
    for line in Path(path).read_text().splitlines():
        event, job, *rest = line.split()
        number = int(job)
        if event == "committed":
            story.committed[number] = float(rest[-1])
        elif event == "unknown":
            story.unknown.add(number)
        elif event == "rolled-back":
            story.rolled_back.add(number)
        elif event == "start":
            story.runs[number].append(Run(int(rest[0]), int(rest[1]), float(rest[2])))
        elif event == "stop":
            for run in story.runs[number]:
                if (run.attempt, run.pid) == (int(rest[0]), int(rest[1])):
                    run.stop = float(rest[2])
    return story


def overlaps(runs: list[Run]) -> int:
    """Pairs of runs of one job whose times intersect; one without an end was killed."""
    ended = sorted((run.start, run.stop) for run in runs if run.stop is not None)
    return sum(later[0] < earlier[1] for earlier, later in pairwise(ended))
