"""What this process holds: its leases, and the attempts that run under them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from pgq_core.models import Job

NOWHERE = -1  # the number of no lease


@dataclass(slots=True)
class Lease:
    """One claimed batch: its fence, and how many of its jobs have no outcome written yet."""

    id: int
    token: int
    size: int
    open: int


@dataclass(slots=True, eq=False)
class Running:
    """One attempt in this process. `why`: who asked it to stop; `noticed`: the handler knows;
    `told`: the hooks have heard of its end."""

    job: Job
    lease: Lease
    lane_id: int
    spent: int
    crashes: int
    cap: int
    started: float = field(default_factory=time.monotonic)
    keep: asyncio.Task[None] | None = None  # what runs it; an event loop forgets its tasks
    task: asyncio.Task[None] | None = None  # the same, once the handler has begun
    why: str | None = None
    reason: str | None = None
    thread: bool = False
    noticed: bool = False
    urged: bool = False
    limited: bool = False
    completed: bool = False
    told: bool = False
    ended: float = 0.0
    progress: tuple[float | None, str | None] | None = None

    def stop(self, why: str, reason: str | None = None) -> None:
        """Ask the handler to stop: 'timeout', 'cancel', 'shutdown' or 'lost'.

        The first wish counts, except that a lost lease overrules; a handler that outlived its
        timeout or cancellation is cancelled once more when the worker stops. What has not begun is
        not cancelled, for it would end without a trace: it looks at `why` when it begins.
        """
        first, urgent = self.why is None, why in ("shutdown", "lost")
        if first or why == "lost":
            self.why, self.reason = why, reason
        if first or (urgent and not self.urged):
            self.urged = urgent
            if self.task is not None and not self.thread:
                self.task.cancel()


class Book:
    """Every lease and every running attempt of this process."""

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.running: set[Running] = set()

    def open(self, rows: list[Any], token: int) -> None:
        """Enter the leases of one claim."""
        for row in rows:
            lease = self.leases.get(row["lease_id"])
            if lease is None or lease.token != token:
                if lease is not None:  # numbers repeat after a server crash; that one is gone
                    lease.id = NOWHERE
                lease = self.leases[row["lease_id"]] = Lease(row["lease_id"], token, 0, 0)
            lease.size += 1
            lease.open += 1

    def settle(self, lease: Lease, count: int = 1) -> None:
        """`count` outcomes of this lease are written; a lease without open jobs is over."""
        lease.open -= count
        if lease.open <= 0 and self.leases.get(lease.id) is lease:
            del self.leases[lease.id]

    @property
    def lowest(self) -> int:
        """The lowest open lease: older rows of ours need no look."""
        return min(self.leases, default=0)

    def hopeless(self, known: set[tuple[int, int]]) -> list[Running]:
        """The attempts whose lease the database does not know any more."""
        return [
            run
            for run in self.running
            if not run.completed and (run.lease.id, run.lease.token) not in known
        ]
