"""A job as it is read: where it stands, its attempts, the tick it may be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from pgq_core.errors import InvalidInput


class Priority(IntEnum):
    """Names for priorities; lower runs first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 5
    LOW = 10


class JobState(str, Enum):
    """Where a job stands. `LOST` is never seen unless rows were removed by hand."""

    DEFERRED = "deferred"
    READY = "ready"
    BLOCKED = "blocked"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def finished(self) -> bool:
        """Whether the job has its last outcome."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(slots=True, eq=False)
class Job:
    """One request to run an entrypoint, as read from the database.

    `max_attempts` is a number for a handler; looked at from outside it is None where the job leaves
    it to its entrypoint, whose setting only the workers know.
    """

    id: int
    queue: str
    entrypoint: str
    priority: int
    attempt: int
    max_attempts: int | None
    payload: bytes
    headers: dict[str, Any]
    created_at: datetime
    run_at: datetime | None
    state: JobState
    timeout: float | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def json(self) -> Any:
        """The payload, decoded as JSON; None when there is no payload. Raises ValueError."""
        try:
            return json.loads(self.payload) if self.payload else None
        except RecursionError:
            raise InvalidInput(
                f"the payload of job {self.id} is nested too deeply to be read; enqueue it flatter"
            ) from None


class Attempt(NamedTuple):
    """What one start of a job decided."""

    job_id: int
    attempt: int
    outcome: str
    worker_id: int | None
    started_at: datetime | None
    finished_at: datetime
    error: dict[str, Any] | None
    result: Any


@dataclass(slots=True, frozen=True)
class Schedule:
    """One tick of a schedule, as its handler receives it."""

    name: str
    cron: str
    timezone: str
    tick: datetime
    job: Job
