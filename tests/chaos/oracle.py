"""What really happened, written outside the queue: one short line per event, one write each.

Producers write after COMMIT returned (`committed`), when its answer was lost (`unknown`), after a
rollback (`rolled-back`); handlers write `start` and `stop` (`cut` when they were cancelled), and
`fault` when they are about to take their process along; a worker, `gave-up` when an error ends it.
Times are of the system-wide monotonic clock, whatever a process believes the date to be.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


def sign(path: str | Path, pid: int) -> Path:
    """The file that is there once this process works."""
    return Path(f"{path}.{pid}")


class Log:
    """Appends events to a file; a line is one write, so processes can share it."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, event: str, job: int, *more: object) -> None:
        """Write one event."""
        words = [event, job, *more, f"{time.monotonic():.6f}"]
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    @property
    def is_up(self) -> bool:
        """Whether this process has begun to work."""
        return sign(self._path, os.getpid()).exists()

    def up(self) -> None:
        """This process has begun to work."""
        sign(self._path, os.getpid()).touch()


@dataclass
class Run:
    """One start of a job, and its end when it was seen; `cut`: it was cancelled."""

    attempt: int
    pid: int
    worker: int
    start: float
    stop: float | None = None
    cut: bool = False


@dataclass
class Fatal:
    """A handler that was about to do its process some harm."""

    name: str
    pid: int
    at: float


@dataclass
class Story:
    """All events, sorted out. `committed`: job → when, of those that may start at
    once."""

    committed: dict[int, float] = field(default_factory=dict)
    later: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    fatals: list[Fatal] = field(default_factory=list)
    gave_up: int = 0

    @property
    def all_committed(self) -> set[int]:
        """Every job whose producer heard that it was committed."""
        return set(self.committed) | self.later

    def take(self, event: str, job: int, words: list[str]) -> None:
        """Take one event in."""
        at = float(words[-1])
        if event in ("committed", "committed-later", "unknown"):
            # A crash forgets how far a sequence was: another job may have the number of a ghost.
            self.rolled_back.discard(job)
        if event == "committed":
            self.committed[job] = at
        elif event == "committed-later":
            self.later.add(job)
        elif event in ("unknown", "rolled-back"):
            (self.unknown if event == "unknown" else self.rolled_back).add(job)
        elif event == "fault":
            self.fatals.append(Fatal(words[0], int(words[1]), at))
        elif event == "gave-up":
            self.gave_up += 1
        elif event in ("start", "stop", "cut"):
            self._run(event, job, [int(word) for word in words[:3]], at)

    def _run(self, event: str, job: int, who: list[int], at: float) -> None:
        if event == "start":
            self.runs[job].append(Run(*who, at))
        for run in self.runs[job] if event != "start" else []:
            if [run.attempt, run.pid, run.worker] == who:
                run.stop, run.cut = at, event == "cut"


def lines(path: str | Path) -> Iterator[list[str]]:
    """The words of every event."""
    with Path(path).open() as file:
        for line in file:
            yield line.split()


def read(path: str | Path) -> Story:
    """The story a log tells."""
    story = Story()
    for event, job, *words in lines(path):
        story.take(event, int(job), words)
    return story


def overlaps(runs: Iterable[Run]) -> int:
    """Pairs of runs whose times intersect; one without an end was killed with its process."""
    ended = sorted((run.start, run.stop) for run in runs if run.stop is not None)
    return sum(later[0] < earlier[1] for earlier, later in pairwise(ended))
