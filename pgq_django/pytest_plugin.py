"""Fixtures for pytest, there as soon as the package is installed; beside pytest-django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Imports stand inside: pytest loads this module in every run, also where there is no Django.


@pytest.fixture
def pgq_run_pending() -> Callable[..., Any]:
    """`pgq_django.testing.run_pending`; the test has the mark `django_db`."""
    from pgq_django.testing import run_pending  # noqa: PLC0415

    return run_pending


@pytest.fixture
def pgq_assert_enqueued() -> Callable[..., Any]:
    """`pgq_django.testing.assert_enqueued`."""
    from pgq_django.testing import assert_enqueued  # noqa: PLC0415

    return assert_enqueued


@pytest.fixture
def pgq_immediate() -> Iterator[list[Any]]:
    """Every job of the test runs where it is enqueued; gives the attempts made so far."""
    from pgq_django.testing import immediate  # noqa: PLC0415

    with immediate() as ran:
        yield ran
