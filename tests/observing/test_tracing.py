"""Traces go from enqueue to attempt, through the job's headers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from pgq_core import Cancel, Job, PgQueuer
from pgq_core.tracing import Tracing


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def by_name(exporter: InMemorySpanExporter) -> dict[str, Any]:
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_trace_goes_from_request_to_attempt(
    database: str, exporter: InMemorySpanExporter, provider: Any
) -> None:
    """The span of an attempt is a child of the enqueue's, which is one of your request's."""
    seen: list[int] = []
    async with PgQueuer.connect(database, hooks=[Tracing(provider)]) as pgq:

        @pgq.entrypoint("mail", queue="letters")
        async def mail(job: Job) -> None:
            seen.append(trace.get_current_span().get_span_context().span_id)
            with provider.get_tracer("mine").start_as_current_span("smtp"):
                pass

        with provider.get_tracer("mine").start_as_current_span("request"):
            id_ = await pgq.enqueue("mail", headers={"mine": 1})
        await pgq.run(until_empty=True)
        assert (await pgq.queries.get_job(id_)).headers["mine"] == 1
    spans = by_name(exporter)
    request, send, process = spans["request"], spans["send mail"], spans["process mail"]
    assert send.parent.span_id == request.context.span_id
    assert process.parent.span_id == send.context.span_id
    assert process.context.trace_id == request.context.trace_id
    assert spans["smtp"].parent.span_id == process.context.span_id
    assert seen == [process.context.span_id]
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert process.attributes["messaging.message.id"] == str(id_)
    assert process.attributes["messaging.destination.name"] == "letters"
    assert process.attributes["pgq.outcome"] == "succeeded"


async def test_plain_function_is_in_the_span_too(database: str, provider: Any) -> None:
    """A handler in a thread runs inside the span as well."""
    seen: list[bool] = []
    async with PgQueuer.connect(database, hooks=[Tracing(provider)]) as pgq:

        @pgq.entrypoint("plain")
        def plain(job: Job) -> None:
            seen.append(trace.get_current_span().get_span_context().is_valid)

        await pgq.enqueue("plain")
        await pgq.run(until_empty=True)
    assert seen == [True]


async def test_failure_and_retry_are_errors(
    database: str, exporter: InMemorySpanExporter, provider: Any
) -> None:
    """A failed attempt is an error with the exception as an event; every attempt has a span."""
    async with PgQueuer.connect(database, hooks=[Tracing(provider)]) as pgq:

        @pgq.entrypoint("bad", max_attempts=2, backoff=lambda attempt: 0.0)
        async def bad(job: Job) -> None:
            raise ValueError("no ink")

        @pgq.entrypoint("off")
        async def off(job: Job) -> None:
            raise Cancel("not today")

        await pgq.enqueue("bad")
        await pgq.enqueue("off")
        await pgq.run(until_empty=True)
    found = [span for span in exporter.get_finished_spans() if span.name == "process bad"]
    assert [span.attributes["pgq.outcome"] for span in found] == ["retry", "failed"]
    assert [span.attributes["pgq.attempt"] for span in found] == [1, 2]
    assert len({span.context.trace_id for span in found}) == 1
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        (event,) = span.events
        assert event.attributes["exception.type"] == "builtins.ValueError"
        assert event.attributes["exception.message"] == "no ink"
        assert "Traceback" in event.attributes["exception.stacktrace"]
    off_span = by_name(exporter)["process off"]
    assert off_span.status.status_code is StatusCode.UNSET
    assert off_span.attributes["pgq.outcome"] == "cancelled"


async def test_a_lost_attempt_ends_its_span(
    database: str, conn: Any, exporter: InMemorySpanExporter, provider: Any
) -> None:
    """The span of an attempt that lost its lease ends, and says so."""
    running = asyncio.Event()
    async with PgQueuer.connect(database, hooks=[Tracing(provider)]) as pgq:

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            if job.attempt == 1:
                running.set()
                await asyncio.Event().wait()

        await pgq.enqueue("work")
        worker = asyncio.create_task(pgq.run(until_empty=True, lease=1.0))
        await running.wait()
        await conn.execute("DELETE FROM pgq_workers")
        await conn.execute("SELECT pgq_rescue(ARRAY(SELECT worker_id FROM pgq_leases))")
        await asyncio.wait_for(worker, 20)
    found = [span for span in exporter.get_finished_spans() if span.name == "process work"]
    assert sorted(span.attributes["pgq.outcome"] for span in found) == ["lost", "succeeded"]


async def test_headers_of_others_are_no_trouble(
    database: str, exporter: InMemorySpanExporter, provider: Any
) -> None:
    """A job enqueued by psql or with odd headers gets a trace of its own."""
    async with PgQueuer.connect(database) as plain:
        await plain.queries.enqueue("any", headers={"traceparent": 5})
        await plain.queries.enqueue("any", headers={"traceparent": "rubbish"})
        await plain.queries.enqueue("any")
    async with PgQueuer.connect(database, hooks=[Tracing(provider)]) as pgq:

        @pgq.entrypoint("any")
        async def anything(job: Job) -> None: ...

        await pgq.run(until_empty=True)
    found = exporter.get_finished_spans()
    assert len(found) == 3
    assert all(span.parent is None for span in found)


async def test_without_a_provider_nothing_happens(database: str) -> None:
    """Without an SDK the hook costs nothing and writes no headers."""
    async with PgQueuer.connect(database, hooks=[Tracing(trace.NoOpTracerProvider())]) as pgq:

        @pgq.entrypoint("any")
        async def anything(job: Job) -> None: ...

        id_ = await pgq.enqueue("any")
        await pgq.run(until_empty=True)
        assert (await pgq.queries.get_job(id_)).headers == {}
