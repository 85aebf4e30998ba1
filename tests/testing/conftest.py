"""A PgQueuer on the test's database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from pgq_core import PgQueuer


@pytest.fixture
async def pgq(database: str) -> AsyncIterator[PgQueuer]:
    """Bound to the test's database, with nothing registered."""
    async with PgQueuer.connect(database) as bound:
        yield bound


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """Ours, without what this pytest tells its plugins."""
    return {name: value for name, value in os.environ.items() if "PYTEST" not in name}
