"""OpenTelemetry as a site sets it up: here spans go to a file, one a line."""

from __future__ import annotations

from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor


def set_up(path: str) -> None:
    """Export every span that ends in this process."""
    out = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  (open as long as the process)
    exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
