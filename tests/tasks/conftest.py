"""A PgQueuer on the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pgq_core import PgQueuer


@pytest.fixture
async def pgq(database: str) -> AsyncIterator[PgQueuer]:
    """Bound to the test's database, with nothing registered."""
    async with PgQueuer.connect(database) as bound:
        yield bound
