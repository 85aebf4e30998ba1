"""The pytest plugin: a database per test, a clock that can be set.

The server is the one of PGQ_TEST_DSN (a role that may create databases), else an embedded one.
Override `pgq_server_dsn` for another, `pgq_prepare` to put your own tables into the template.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pgq_core.testing.clock import Clock
    from pgq_core.testing.databases import Databases, Prepare

# Imports stand inside: pytest loads this module in every run, whether the tests use pgq or not.


@pytest.fixture(scope="session")
def pgq_server_dsn() -> Iterator[str]:
    """The DSN of the server on which databases are made."""
    given = os.environ.get("PGQ_TEST_DSN")
    if given:
        yield given
        return
    from pgq_core.embedded import EmbeddedServer  # noqa: PLC0415

    with EmbeddedServer(settings={"fsync": "off"}) as server:
        yield server.dsn()


@pytest.fixture(scope="session")
def pgq_prepare() -> Prepare:
    """An async function that fills the template database, given its DSN: installs pgq."""
    from pgq_core.testing.databases import install  # noqa: PLC0415

    return install


@pytest.fixture(scope="session")
def pgq_databases(pgq_server_dsn: str, pgq_prepare: Prepare) -> Iterator[Databases]:
    """Makes and removes the databases."""
    from pgq_core.testing.databases import Databases  # noqa: PLC0415

    databases = Databases(pgq_server_dsn, pgq_prepare)
    yield databases
    databases.close()


@pytest.fixture
def pgq_database(pgq_databases: Databases) -> Iterator[str]:
    """The DSN of a fresh database for this test alone, a copy of the template."""
    dsn = pgq_databases.create()
    yield dsn
    pgq_databases.drop(dsn)


@pytest.fixture
def pgq_clock() -> Clock:
    """A clock for `run_pending(now=…)`; it begins at the present and stands still."""
    from pgq_core.testing.clock import Clock  # noqa: PLC0415

    return Clock()
