"""Which job a log record belongs to: one object that is a hook and a logging filter."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pgq_core.models import Job, NewJob
from pgq_core.outcomes import Outcome

current_job: ContextVar[Job | None] = ContextVar("pgq_current_job", default=None)


class JobLogs(logging.Filter):
    """`logs = JobLogs()`; `PgQueuer(hooks=[logs])`; `handler.addFilter(logs)`.

    Every record then has `job_id`, `entrypoint`, `attempt`, `trace_id` and `span_id`; None outside
    a job, or a trace.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; never drops a record."""
        job = current_job.get()
        record.job_id = None if job is None else job.id
        record.entrypoint = None if job is None else job.entrypoint
        record.attempt = None if job is None else job.attempt
        record.trace_id, record.span_id = current_trace()
        return True

    def enqueueing(self, job: NewJob) -> NewJob:
        """Nothing to add."""
        return job

    @contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        """Remember the job; a plain function's thread knows it too."""
        token = current_job.set(job)
        try:
            yield
        finally:
            current_job.reset(token)

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        """Nothing to do."""


def current_trace() -> tuple[str | None, str | None]:
    """Trace and span as hexadecimal text, where OpenTelemetry is in use."""
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return None, None
    found = opentelemetry.get_current_span().get_span_context()
    return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found.is_valid else (None, None)
