"""OpenTelemetry, where TASKS says `"OPTIONS": {"tracing": True}`.

The trace that is open when a job is enqueued travels in the job's headers; its attempts are spans
of that trace, whichever process runs them. The site sets up OpenTelemetry as for any other use.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from pgq_core import NewJob
from pgq_core.errors import MissingExtra
from pgq_core.hooks import Hook
from pgq_django.databases import database_of, options_of_backend, our_backends
from pgq_django.jobs import BACKEND

OPTION = "tracing"


def traced(job: NewJob) -> NewJob:
    """The job as it is written: with the trace in its headers, if its backend says so."""
    backend = (job.headers or {}).get(BACKEND)
    return tracing().enqueueing(job) if options_of_backend(backend).get(OPTION) else job


def worker_hooks(using: str) -> list[Hook]:
    """What a worker on this database needs for its jobs to be traced: nothing, or one hook."""
    wanted = any(
        options.get(OPTION) for name, options in our_backends() if database_of(name) == using
    )
    return [tracing()] if wanted else []


def available() -> bool:
    """Whether OpenTelemetry is installed."""
    return find_spec("opentelemetry") is not None


@cache
def tracing() -> Hook:
    """The core's hook, on the process's tracer provider. Raises MissingExtra."""
    try:
        from pgq_core.tracing import Tracing  # noqa: PLC0415  (optional)
    except ImportError:
        raise MissingExtra("traces (OPTIONS['tracing'] in TASKS)", "otel") from None
    return Tracing()
