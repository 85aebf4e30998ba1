"""A pooler in front of the test's database."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.poolers.bouncer import Bouncer, find_pgbouncer


@pytest.fixture(scope="session")
def pgbouncer() -> str:
    """The program, or the reason why these tests are skipped."""
    found = find_pgbouncer()
    if found is None:
        assert os.environ.get("PGQ_TEST_REQUIRED") != "1", "PgBouncer is required here"
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    return found


@pytest.fixture(scope="session")
def bouncer(pgbouncer: str, server_dsn: str) -> Iterator[Bouncer]:
    """A PgBouncer in transaction mode."""
    running = Bouncer(pgbouncer, server_dsn, "transaction")
    yield running
    running.stop()


@pytest.fixture
def pooled(bouncer: Bouncer, database: str) -> str:
    """The test's database as it is reached through the pooler."""
    return bouncer.dsn(database)
