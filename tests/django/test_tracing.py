"""A trace goes from a view through the queue to the task, whichever process runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import pgq_django
from pgq_core.errors import MissingExtra
from pgq_django import tracing
from pgq_django.models import Attempt, Job, JobBody
from tests.django.processes import drain
from tests.django.shop import tasks

SDK = importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk")
needs_sdk = pytest.mark.skipif(
    not SDK and "PGQ_TEST_REQUIRED" not in os.environ, reason="no opentelemetry-sdk here"
)

# A site's request: a span around the view, as instrumentation for Django makes it.
REQUEST = """
import django, json
django.setup()
from django.test import Client
from opentelemetry import trace
with trace.get_tracer("site").start_as_current_span("GET /order/"):
    print(json.dumps(Client().get("/order/").json()["ids"]))
"""


def visit(spans: Path) -> list[int]:
    """Have a site's process answer one request; the jobs it has enqueued."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.django.settings", "PGQ_TEST_SPANS": str(spans)}
    done = subprocess.run(
        [sys.executable, "-c", REQUEST],
        env={**os.environ, **settings}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ids: list[int] = json.loads(done.stdout)
    return ids


def written(spans: Path) -> list[dict[str, Any]]:
    """The spans both processes have exported."""
    return [json.loads(line) for line in spans.read_text(encoding="utf-8").splitlines()]


@needs_sdk
def test_from_the_view_to_the_task(db: Any, tmp_path: Path) -> None:
    """With `"tracing": True` a task belongs to the trace of the view that enqueued it."""
    spans = tmp_path / "spans"
    plain, coroutine, _, late = visit(spans)
    drain(PGQ_TEST_SPANS=str(spans))
    found = written(spans)
    request = next(span for span in found if span["name"] == "GET /order/")
    trace_id = request["context"]["trace_id"]
    assert {span["context"]["trace_id"] for span in found} == {trace_id}
    sends = {s["context"]["span_id"]: s for s in found if s["name"].startswith("send ")}
    assert {span["parent_id"] for span in sends.values()} == {request["context"]["span_id"]}
    runs = {int(span["attributes"]["messaging.message.id"]): span
            for span in found if span["name"].startswith("process ")}  # fmt: skip
    assert set(runs) == {plain, coroutine, late}
    for job, span in runs.items():
        assert sends[span["parent_id"]]["name"] == span["name"].replace("process", "send")
        seen = Attempt.objects.get(job_id=job).result
        assert seen == f"{trace_id.removeprefix('0x')} {job}"


@needs_sdk
def test_jobs_for_another_service(db: Any, tmp_path: Path) -> None:
    """A job enqueued by name carries the trace too: W3C's `traceparent` in its headers."""
    *_, named, _ = visit(tmp_path / "spans")
    headers = Job.objects.get(pk=named).headers
    request = written(tmp_path / "spans")[-1]
    assert headers["traceparent"].split("-")[1] == request["context"]["trace_id"][2:]


def test_nothing_is_added_unasked(db: Any) -> None:
    """Without the option a job's headers hold nothing of traces, and workers make no spans."""
    tasks.add.enqueue(1)
    pgq_django.enqueue(tasks.add, args=[1])
    assert [body.headers for body in JobBody.objects.all()] == [{"backend": "default"}] * 2
    assert tracing.worker_hooks("default") == []


def test_without_opentelemetry(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for traces without OpenTelemetry is named by a system check, and at enqueue."""
    from pgq_django.checks import check_backend
    from pgq_django.compat import task_backends

    monkeypatch.setitem(sys.modules, "pgq_core.tracing", None)
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    tracing.tracing.cache_clear()
    stated = {"BACKEND": "pgq_django.PgqBackend", "QUEUES": [], "OPTIONS": {"tracing": True}}
    with override_settings(TASKS={"default": stated}):
        found = [message.id for message in check_backend(task_backends["default"])]
        assert found == ["pgq_django.E006"]
        with pytest.raises(MissingExtra, match=r"pgq-suite\[otel\]"):
            tasks.add.enqueue(1)
    assert not JobBody.objects.exists()
