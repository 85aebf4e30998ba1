"""Django's own test cases for Tasks (the backport's on Django 5.2), run against our backend.

The waived cases need equivalents of our own: tests/django/test_backend.py.
"""

from __future__ import annotations

import importlib
import os

from acceptance import backends
from django.test import override_settings

from pgq_django.compat import NATIVE, PACKAGE

CASES = "tasks" if NATIVE else "tests.tests"
td = importlib.import_module(f"{CASES}.test_dummy_backend")
ti = importlib.import_module(f"{CASES}.test_immediate_backend")
tt = importlib.import_module(f"{CASES}.test_tasks")

NAME = "BrokenBackend" if os.environ.get("PGQ_ACCEPTANCE_BREAK") else "AcceptanceBackend"
PATH = f"acceptance.backends.{NAME}"
DRAINING = "acceptance.backends.DrainingBackend"

tt.DummyBackend = td.DummyBackend = getattr(backends, NAME)
ti.ImmediateBackend = backends.DrainingBackend


@override_settings(
    TASKS={
        "default": {"BACKEND": PATH, "QUEUES": ["default", "queue_1"]},
        "immediate": {"BACKEND": f"{PACKAGE}.backends.immediate.ImmediateBackend", "QUEUES": []},
        "missing": {"BACKEND": "does.not.exist"},
    }
)
class Contract(tt.TaskTestCase):
    databases = {"default"}  # noqa: RUF012
    test_refresh_result = None  # calls the sync refresh() on the event loop


@override_settings(TASKS={"default": {"BACKEND": PATH, "QUEUES": []}})
class Storage(td.DummyBackendTestCase):
    databases = {"default"}  # noqa: RUF012
    test_refresh_result = test_refresh_result_async = None  # edit in-memory results


@override_settings(TASKS={"default": {"BACKEND": DRAINING, "QUEUES": []}})
class Execution(ti.ImmediateBackendTestCase):
    databases = {"default"}  # noqa: RUF012
    # What the immediate backend cannot do, and ours can:
    test_cannot_get_result = test_cannot_refresh_result = test_cannot_pass_run_after = None
    test_get_result_from_different_request = None  # the same, in the backport's cases
    # A worker is not the caller: an interrupted task fails there.
    test_throws_keyboard_interrupt = None
