"""The fixtures for pytest: there without being asked for, beside pytest-django, and harmless."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SITE = """
import pytest
from tests.django.shop import tasks


@pytest.mark.django_db
def test_pending(pgq_run_pending, pgq_assert_enqueued):
    result = tasks.write_note.enqueue("a")
    pgq_assert_enqueued(tasks.write_note, ["a"], count=1)
    assert [ran.outcome for ran in pgq_run_pending()] == ["succeeded"]


@pytest.mark.django_db
def test_immediate(pgq_immediate):
    tasks.add.enqueue(1)
    assert len(pgq_immediate) == 1


@pytest.mark.django_db
def test_nothing_is_left(pgq_assert_enqueued):
    pgq_assert_enqueued(tasks.add, count=0)
"""

NO_SITE = """
import sys

def test_nothing_is_loaded(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("pgq_django")
    assert "pgq_django.pytest_plugin" in sys.modules
    assert not any(name.split(".")[0] in ("django", "asgiref") for name in sys.modules)
"""

installed = pytest.mark.skipif(
    not importlib.util.find_spec("pytest_django") and "PGQ_TEST_REQUIRED" not in os.environ,
    reason="no pytest-django here",
)


def run(folder: Path, tests: str, *flags: str, **environment: str) -> str:
    """A pytest of its own, in a folder without any configuration; what it prints."""
    (folder / "test_mine.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, "."],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@installed
def test_beside_pytest_django(db: Any, tmp_path: Path) -> None:
    """With the package and pytest-django installed, the fixtures work with no configuration."""
    root = str(Path(__file__).parents[2])
    said = run(tmp_path, SITE, **{**os.environ, "PYTHONPATH": root})
    assert "3 passed" in said


def test_without_a_site(tmp_path: Path) -> None:
    """In a project without Django the plugin loads nothing, and asks for no settings."""
    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    assert "1 passed" in run(tmp_path, NO_SITE, "-p", "no:django", **environment)
