"""Where jobs of a state stand, in order of id: every source reads one index from a key onwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pgq_django import statements
from pgq_django.models import Attempt, Blocked, Deferred, JobBody, Ready

POINTERS: dict[str, Any] = {"ready": Ready, "deferred": Deferred, "blocked": Blocked}
ENDED = ("succeeded", "failed", "cancelled")
FEW = 1_000  # failures that are collected at once rather than looked for
BODY = ("id", "queue", "entrypoint", "created_at", "unique_key", "concurrency_key")


@dataclass
class Chunk:
    """What one query gave: ids that may match, where to go on (None: at the end), rows read."""

    ids: list[int]
    last: int | None
    looked: int
    bodies: list[dict[str, Any]] | None = None


class Source(Protocol):
    """Gives ids in order, `size` rows at a time."""

    def chunk(self, start: int | None, size: int, newer: bool) -> Chunk:
        """The ids before `start`, or after it; from the newest on when there is none."""


def source_of(using: str, state: str | None) -> Source:
    """The smallest source that holds every job of a state."""
    if state in POINTERS:
        return Keyed(using, POINTERS[state], "job_id")
    if state == "running":
        return Given([row["job_id"] for row in statements.run(using, "running_ids")])
    if state == "failed" and (few := failures(using)) is not None:
        return Given(few)
    return Ended(using, state) if state in ENDED else Keyed(using, JobBody, "id")


def failures(using: str) -> list[int] | None:
    """Every job that ever failed; None when there are too many to collect."""
    failed = Attempt.objects.using(using).filter(outcome="failed").order_by("-finished_at")
    ids = list(failed.values_list("job_id", flat=True)[: FEW + 1])
    return sorted(set(ids)) if len(ids) <= FEW else None


class Keyed:
    """A table with one row per job and an index on its id."""

    def __init__(self, using: str, model: Any, key: str) -> None:
        self.rows, self.key = model.objects.using(using), key
        self.columns = BODY if model is JobBody else (key,)

    def chunk(self, start: int | None, size: int, newer: bool) -> Chunk:
        """One query."""
        found = list(onwards(self.rows, self.key, start, newer).values(*self.columns)[:size])
        ids = [row[self.key] for row in found]
        bodies = found if self.columns is BODY else None
        return Chunk(ids, ids[-1] if len(ids) == size else None, len(ids), bodies)


class Ended:
    """Jobs by the outcome of their last attempt, which is the first one met on the way down."""

    def __init__(self, using: str, outcome: str) -> None:
        self.rows, self.outcome = Attempt.objects.using(using), outcome

    def chunk(self, start: int | None, size: int, newer: bool) -> Chunk:
        """One query; a job whose attempts continue in the next chunk may match, too."""
        turn = "attempt" if newer else "-attempt"
        attempts = onwards(self.rows, "job_id", start, newer, turn)
        found = list(attempts.values_list("job_id", "outcome")[:size])
        edge = found[-1][0] if len(found) == size else None
        decided: dict[int, str] = {}
        for job, outcome in found:
            if newer or job not in decided:
                decided[job] = outcome
        ids = [job for job, outcome in decided.items() if outcome == self.outcome or job == edge]
        return Chunk(ids, edge, len(found))


class Given:
    """Jobs known by their ids."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def chunk(self, start: int | None, size: int, newer: bool) -> Chunk:
        """No query."""
        if start is not None:
            left = [job for job in self.ids if (job > start if newer else job < start)]
        else:
            left = self.ids
        ids = sorted(left, reverse=not newer)[:size]
        return Chunk(ids, ids[-1] if len(ids) == size else None, len(ids))


def onwards(rows: Any, key: str, start: int | None, newer: bool, *more: str) -> Any:
    """The rows after a key upwards, or before it downwards."""
    if start is not None:
        rows = rows.filter(**{f"{key}__{'gt' if newer else 'lt'}": start})
    return rows.order_by(key if newer else f"-{key}", *more)
