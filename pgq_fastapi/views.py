"""What the routes show of a job, as pydantic models: they are the OpenAPI schema too."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from pgq_core import Job, JobState
from pgq_core.models import Attempt
from pgq_core.queries import Queries


class Progress(BaseModel):
    """What a job said of itself last."""

    fraction: float | None = None
    message: str | None = None


class Failure(BaseModel):
    """Why an attempt did not succeed."""

    type: str
    message: str
    traceback: str | None = None


class JobStatus(BaseModel):
    """What somebody who waits for a job wants to know; no payload, no traceback."""

    id: int
    state: JobState
    finished: bool = Field(description="whether the job has its last outcome")
    attempt: int
    progress: Progress | None = None
    result: Any = None
    error: str | None = Field(default=None, description="the last error's message")


class JobView(BaseModel):
    """One job, as the people who run the queue see it."""

    id: int
    queue: str
    entrypoint: str
    priority: int
    state: JobState
    attempt: int
    max_attempts: int | None = Field(description="null: what the entrypoint says")
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    unique_key: str | None
    concurrency_key: str | None
    headers: dict[str, Any]
    payload: str | None = Field(description="text, or None when it is binary")
    payload_base64: str | None = Field(description="only when the payload is binary")
    result: Any
    error: Failure | None


class AttemptView(BaseModel):
    """One start of a job."""

    attempt: int
    outcome: str
    worker_id: int | None
    started_at: datetime | None
    finished_at: datetime
    error: Failure | None
    result: Any


class JobDetail(JobView):
    """One job with its attempts and its progress."""

    attempts: list[AttemptView]
    progress: Progress | None


class JobPage(BaseModel):
    """Jobs, newest first; ask for the next page with `before=next`."""

    jobs: list[JobView]
    next: int | None


class Verdict(BaseModel):
    """What became of a wish to cancel or to retry."""

    id: int
    verdict: str


class Problem(BaseModel):
    """Why a request was not served."""

    detail: str


class Readiness(BaseModel):
    """Whether this process can serve, and what that was judged by."""

    ready: bool
    reasons: list[str] = Field(description="why it is not ready")
    database: bool
    worker: str = Field(description="off, starting, running, restarting, stopping or stopped")
    restarts: int = 0
    last_error: str | None = Field(
        default=None, description="the type of what the worker died of last"
    )
    listener: str | None = Field(
        default=None, description="listening, polling, deaf (should hear, does not) or off"
    )
    beat_age: float | None = Field(default=None, description="seconds since the worker's last beat")
    running_jobs: int = 0
    lag: float | None = Field(default=None, description="seconds the oldest ready job has waited")
    workers: int | None = Field(default=None, description="worker processes on this queue")


def failure_of(error: dict[str, Any] | None) -> Failure | None:
    """An error as it is stored."""
    if not error:
        return None
    return Failure(
        type=str(error.get("type", "")),
        message=str(error.get("message", "")),
        traceback=error.get("traceback"),
    )


def view_of(job: Job) -> dict[str, Any]:
    """The fields of a JobView."""
    try:
        text, binary = job.payload.decode(), None
    except UnicodeDecodeError:
        text, binary = None, base64.b64encode(job.payload).decode()
    fields = {name: getattr(job, name) for name in JobView.model_fields if hasattr(job, name)}
    return {**fields, "payload": text, "payload_base64": binary, "error": failure_of(job.error)}


def attempt_of(attempt: Attempt) -> AttemptView:
    """One attempt."""
    fields = attempt._asdict()
    return AttemptView(**{**fields, "error": failure_of(attempt.error)})


async def status_of(queries: Queries, id: int) -> JobStatus:
    """A job's status. Raises JobNotFound."""
    job = await queries.get_job(id)
    progress = None if job.state.finished else await progress_of(queries, id)
    return JobStatus(
        id=job.id, state=job.state, finished=job.state.finished, attempt=job.attempt,
        progress=progress, result=job.result,
        error=str(job.error.get("message", "")) if job.error else None,
    )  # fmt: skip


async def progress_of(queries: Queries, id: int) -> Progress | None:
    """What a job said of itself last."""
    found = await queries.get_progress(id)
    if found is None:
        return None
    fraction, message = found
    return Progress(fraction=fraction, message=message)
