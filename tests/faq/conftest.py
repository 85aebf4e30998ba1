"""What the tests of the FAQ's claims share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pgq_core import PgQueuer


@pytest.fixture
async def pgq(database: str) -> AsyncIterator[PgQueuer]:
    """Bound to a database in which pgq is installed; nothing is registered."""
    async with PgQueuer.connect(database) as bound:
        yield bound
