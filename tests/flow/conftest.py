"""One database per test process, emptied after each test: these tests are many and small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgq_core import PgQueuer
from pgq_core.cli import commands, run
from tests.flow.bench import Bench
from tests.flow.processes import Processes
from tests.support import Databases

Ask = Callable[..., tuple[int, str, str]]

EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$
BEGIN
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') || ' RESTART IDENTITY'
        FROM pg_class
        WHERE relkind = 'r' AND relname ~ '^pgq_' AND relname <> 'pgq_meta'
    );
END
$$;
SELECT setval(s, 0)
FROM unnest('{pgq_idle,pgq_woken,pgq_waiting,pgq_flow,pgq_swept}'::regclass[]) AS s;
"""


@pytest.fixture(scope="session")
def flow_database(databases: Databases, template_database: str) -> Iterator[str]:
    """The database that the tests of this process share."""
    dsn = databases.create(template_database)
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def database(flow_database: str) -> Iterator[str]:
    """The DSN of a database with pgq installed, and nothing in it."""
    yield flow_database
    with psycopg.connect(flow_database, autocommit=True) as connection:
        connection.execute(EMPTY)


@pytest.fixture
async def pgq(database: str) -> AsyncIterator[PgQueuer]:
    """A PgQueuer on connections of its own."""
    async with PgQueuer.connect(database) as connected:
        yield connected


@pytest.fixture
async def other(database: str) -> AsyncIterator[PgQueuer]:
    """Another one, as in another process."""
    async with PgQueuer.connect(database) as connected:
        yield connected


@pytest.fixture
def processes(database: str, tmp_path: Path) -> Iterator[Processes]:
    """Starts worker processes on the test's database."""
    started = Processes(database, tmp_path)
    yield started
    started.close()


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    """Connections for a state machine."""
    made = Bench(database)
    yield made
    made.close()


@pytest.fixture
def ask(database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Run a command on the test's database: exit code, what it printed, what it complained of."""
    monkeypatch.setenv("PGQ_DSN", database)
    monkeypatch.setenv("COLUMNS", "40")  # in a file a table is as wide as its content
    monkeypatch.delenv("PGQ_SCHEMA", raising=False)

    def run_it(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(commands, arguments)
        return code, *capfd.readouterr()

    return run_it


@pytest.fixture
def rows(database: str) -> Callable[..., list[Any]]:
    """Rows straight from the database."""

    def fetch(statement: str) -> list[Any]:
        with psycopg.connect(database, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return [] if done.description is None else done.fetchall()

    return fetch
