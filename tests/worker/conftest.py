"""Workers and what they work for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pgq_core import PgQueuer
from tests.worker.harness import Processes, sleep_far


@pytest.fixture
async def pgq(database: str) -> AsyncIterator[PgQueuer]:
    """A PgQueuer on connections of its own; register handlers on it, then `working(pgq)`."""
    async with PgQueuer.connect(database) as connected:
        yield connected


@pytest.fixture
async def other(database: str) -> AsyncIterator[PgQueuer]:
    """Another one, as in another process."""
    async with PgQueuer.connect(database) as connected:
        yield connected


@pytest.fixture
def far_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers with `idle_look=FAR` do not poll within a test, once they sleep."""
    sleep_far(monkeypatch)


@pytest.fixture
def processes(database: str, tmp_path: Path) -> Iterator[Processes]:
    """Starts worker processes on the test's database."""
    started = Processes(database, tmp_path)
    yield started
    started.close()
