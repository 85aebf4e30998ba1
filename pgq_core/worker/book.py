"""What this process holds: its leases, and the attempts that run under them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from pgq_core.models import Job


@dataclass(slots=True)
class Lease:
    """One claimed batch: its fence, and how many of its jobs have no outcome written yet."""

    id: int
    token: int
    size: int
    open: int


@dataclass(slots=True, eq=False)
class Running:
    """One attempt in this process. `why` says who asked it to stop."""

    job: Job
    lease: Lease
    lane_id: int
    spent: int
    crashes: int
    cap: int
    started: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None
    why: str | None = None
    reason: str | None = None
    thread: bool = False
    limited: bool = False
    completed: bool = False
    ended: float = 0.0
    progress: tuple[float | None, str | None] | None = None

    def stop(self, why: str, reason: str | None = None) -> None:
        """Ask the handler to stop: 'timeout', 'cancel', 'shutdown' or 'lost'.

        The first wish counts, except that a lost lease overrules.
        """
        if self.why is None or why == "lost":
            self.why, self.reason = why, reason
            if self.task is not None and not self.thread:
                self.task.cancel()


class Book:
    """Every lease and every running attempt of this process."""

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.running: dict[int, Running] = {}

    def open(self, rows: list[Any], token: int) -> None:
        """Enter the leases of one claim."""
        for row in rows:
            lease = self.leases.get(row["lease_id"])
            if lease is None:
                lease = self.leases[row["lease_id"]] = Lease(row["lease_id"], token, 0, 0)
            lease.size += 1
            lease.open += 1

    def settle(self, lease: Lease, count: int = 1) -> None:
        """`count` outcomes of this lease are written; a lease without open jobs is over."""
        lease.open -= count
        if lease.open <= 0:
            self.leases.pop(lease.id, None)

    @property
    def lowest(self) -> int:
        """The lowest open lease: older rows of ours need no look."""
        return min(self.leases, default=0)

    def hopeless(self, known: set[tuple[int, int]]) -> list[Running]:
        """The attempts whose lease the database does not know any more."""
        return [
            run
            for run in self.running.values()
            if not run.completed and (run.lease.id, run.lease.token) not in known
        ]
