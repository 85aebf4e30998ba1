"""Fixtures for pytest: `pytest_plugins = ["pgq_django.testing.plugin"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def pgq_run_pending() -> Callable[..., Any]:
    """`run_pending`, to be used beside `db` or `transactional_db` of pytest-django."""
    from pgq_django.testing import run_pending  # noqa: PLC0415  (settings come first)

    return run_pending


@pytest.fixture
def pgq_assert_enqueued() -> Callable[..., Any]:
    """`assert_enqueued`."""
    from pgq_django.testing import assert_enqueued  # noqa: PLC0415  (settings come first)

    return assert_enqueued


@pytest.fixture
def pgq_immediate() -> Iterator[list[Any]]:
    """Every job of the test runs where it is enqueued; gives the attempts made so far."""
    from pgq_django.testing import immediate  # noqa: PLC0415  (settings come first)

    with immediate() as ran:
        yield ran
