"""Skipped where OpenTelemetry is not installed."""

from importlib.util import find_spec

traced = find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None
collect_ignore_glob = [] if traced else ["test_tracing.py"]
