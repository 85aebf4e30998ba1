"""What should be true of one job, and of a transaction that has not ended yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FINISHED = ("succeeded", "failed", "cancelled")


@dataclass
class Model:
    """One job. `key`: its unique key; `turn`: the concurrency key under which it takes turns.

    A job that waits is "ready"; one with a `turn` may then also stand parked behind that key.
    """

    state: str
    key: str | None = None
    cap: int = 5
    turn: str | None = None
    attempt: int = 0
    crashes: int = 0
    wish: bool = False
    history: list[tuple[str, int | None]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.state in FINISHED

    @property
    def ended_once(self) -> bool:
        """Whether its newest outcome was a last one, though it may have been put back since."""
        return bool(self.history) and self.history[-1][0] in FINISHED

    def end(self, outcome: str, by: int | None = None) -> None:
        """The last outcome; `by`: the worker that wrote it itself."""
        self.state, self.wish = outcome, False
        self.history.append((outcome, by))

    def lose(self) -> str:
        """What rescue decides."""
        outcome = self.verdict
        if outcome != "lost":
            self.end(outcome)
        else:
            self.crashes += 1
            self.state = "ready"
            self.history.append(("lost", None))
        return outcome

    @property
    def verdict(self) -> str:
        """What rescue would decide now."""
        if self.cap == 1 or self.crashes + 1 >= 4:
            return "failed"
        return "cancelled" if self.wish else "lost"

    def decide(self, outcome: str, delay: float, by: int) -> None:
        """What finish writes."""
        if outcome in FINISHED or self.wish:
            self.end(outcome if outcome in FINISHED else "cancelled", by)
        else:
            self.state = "deferred" if delay > 0 else "ready"
            self.history.append((outcome, by))

    def put_back(self) -> None:
        """What retry does."""
        self.state, self.crashes, self.wish = "ready", 0, False

    def written_by(self, attempt: int, worker: int) -> bool:
        """Whether this worker itself has written the outcome of this attempt."""
        return attempt <= len(self.history) and self.history[attempt - 1][1] == worker


@dataclass
class Late:
    """A transaction that has written and not ended: what others must not wait for, and what its
    commit will mean."""

    kind: str
    jobs: set[int]
    commit: Callable[[], None]
    leases: set[int] = field(default_factory=set)
    places: bool = False  # it holds the lock under which places are counted
