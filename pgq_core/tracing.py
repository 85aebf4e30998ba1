"""OpenTelemetry around enqueue and attempt: `PgQueuer(hooks=[Tracing()])`. Needs the extra [otel].

The trace context travels in the job's headers, so that what a job does belongs to the trace that
asked for it, whichever process runs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from pgq_core.models import Job, NewJob
from pgq_core.outcomes import Outcome


class Tracing:
    """A hook: a span per enqueue, a span per attempt, the second a child of the first."""

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("pgq", tracer_provider=tracer_provider)
        self._open: dict[int, Span] = {}

    def enqueueing(self, job: NewJob) -> NewJob:
        """Note in the headers where the job comes from; headers of the caller's own win."""
        carrier: dict[str, Any] = {}
        attributes = facts("send", job.queue or "", job.entrypoint)
        with self._tracer.start_as_current_span(
            f"send {job.entrypoint}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            propagate.inject(carrier)
        return replace(job, headers={**carrier, **(job.headers or {})}) if carrier else job

    @contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        """The handler runs inside the span; the outcome, known later, ends it."""
        carrier = {key: value for key, value in job.headers.items() if isinstance(value, str)}
        parent = propagate.extract(carrier)
        span = self._tracer.start_span(
            f"process {job.entrypoint}", parent, SpanKind.CONSUMER,
            {
                **facts("process", job.queue, job.entrypoint),
                "messaging.message.id": str(job.id),
                "pgq.attempt": job.attempt,
            },
        )  # fmt: skip
        self._open[id(job)] = span
        token = context.attach(trace.set_span_in_context(span, parent))
        try:
            yield
        finally:
            context.detach(token)

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002
        """End the span, with the error if there was one."""
        span = self._open.get(id(job))
        if span is not None and outcome.error is not None and outcome.kind != "succeeded":
            note_error(span, outcome.error, failed=outcome.kind in ("failed", "retry"))
        self._end(id(job), outcome.kind)

    def _end(self, key: int, kind: str) -> None:
        span = self._open.pop(key, None)
        if span is not None:
            span.set_attribute("pgq.outcome", kind)
            span.end()


def facts(operation: str, queue: str, entrypoint: str) -> dict[str, Any]:
    """Attributes by the semantic conventions for messaging."""
    found = {
        "messaging.system": "pgq",
        "messaging.operation.type": operation,
        "pgq.entrypoint": entrypoint,
    }
    return {**found, "messaging.destination.name": queue} if queue else found


def note_error(span: Span, text: str, *, failed: bool) -> None:
    """The error of an outcome as the event that tracing tools know."""
    error = json.loads(text)
    event = {f"exception.{key}": str(error.get(key, "")) for key in ("type", "message")}
    event["exception.stacktrace"] = str(error.get("traceback", ""))
    span.add_event("exception", event)
    if failed:
        span.set_status(StatusCode.ERROR, event["exception.message"])
