"""The drivers and options Django can use: the same behaviour on each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from tests.django.round_trip import contract, round_trip
from tests.django.support import alias_on


def test_psycopg(db: Any) -> None:
    """Everything works on psycopg 3."""
    round_trip()
    contract()


def test_server_side_binding(database: str) -> None:
    """Everything works with server-side binding."""
    with alias_on(database, server_side_binding=True):
        round_trip("other")


@pytest.mark.skipif(not importlib.util.find_spec("psycopg_pool"), reason="no psycopg_pool here")
def test_pool(database: str) -> None:
    """Everything works with Django's connection pool."""
    with alias_on(database, pool={"min_size": 1, "max_size": 2}):
        round_trip("other")


@pytest.mark.skipif(not importlib.util.find_spec("psycopg2"), reason="psycopg2 is not installed")
def test_psycopg2(db: Any) -> None:
    """Everything works on psycopg2."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.django.round_trip"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
