"""The fixtures for pytest, beside pytest-django."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = """
import pytest
from tests.django.shop import tasks

pytest_plugins = ["pgq_django.testing.plugin"]


@pytest.mark.django_db
def test_pending(pgq_run_pending, pgq_assert_enqueued):
    result = tasks.write_note.enqueue("a")
    pgq_assert_enqueued(tasks.write_note, ["a"], count=1)
    assert [ran.outcome for ran in pgq_run_pending()] == ["succeeded"]


@pytest.mark.django_db
def test_immediate(pgq_immediate):
    tasks.add.enqueue(1)
    assert len(pgq_immediate) == 1
"""


@pytest.mark.skipif(not importlib.util.find_spec("pytest_django"), reason="no pytest-django here")
def test_fixtures(db: Any, tmp_path: Path) -> None:
    """The fixtures work inside pytest-django's transactions."""
    (tmp_path / "test_site.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
