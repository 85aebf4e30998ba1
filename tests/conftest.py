"""One server per test process, one fresh database per test.

``PGQ_TEST_DSN``       use this server (a role that may create databases) instead of our own
``PGQ_TEST_PG_MAJOR``  run on this installed major version
``TMPDIR``             where servers keep their data; in memory, unless set, where there is plenty
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, settings

from pgq_core.embedded import EmbeddedServer
from tests.support import Databases, run_apart

if TYPE_CHECKING:
    from pgq_core.queries import Queries

    Connect = Callable[..., Awaitable["asyncpg.Connection[Any]"]]

# Shared machines are slow at times: a deadline would test the machine.
settings.register_profile(
    "pgq", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("pgq")

SERVER_SETTINGS = {"fsync": "off", "max_connections": "200"}
MEMORY = Path("/dev/shm")
PLENTY = 8 * 1024**3
MAJOR_DIRECTORIES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")


def _use_memory() -> None:
    """A copied database is 300 files: ten times as fast to write in memory as on some disks."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    if shutil.disk_usage(MEMORY).free >= PLENTY:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the installed major version asked for, or end the run saying that it is absent."""
    _use_memory()
    major = os.environ.get("PGQ_TEST_PG_MAJOR")
    if not major or "PGQ_POSTGRES_BIN" in os.environ:
        return
    directories = [Path(pattern.format(major)) for pattern in MAJOR_DIRECTORIES]
    found = next((path for path in directories if (path / "initdb").exists()), None)
    if found is None:
        required = os.environ.get("PGQ_TEST_REQUIRED") == "1"
        pytest.exit(f"skipped: PostgreSQL {major} is not installed here", int(required))
    os.environ["PGQ_POSTGRES_BIN"] = str(found)


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The DSN of the server all tests of this process share."""
    given = os.environ.get("PGQ_TEST_DSN")
    if given:
        yield given
        return
    with EmbeddedServer(settings=SERVER_SETTINGS) as server:
        yield server.dsn()


@pytest.fixture(scope="session")
def databases(server_dsn: str) -> Databases:
    """Creates and drops databases on the shared server."""
    _check_major(server_dsn)
    return Databases(server_dsn)


@pytest.fixture(scope="session")
def template_database(databases: Databases) -> Iterator[str]:
    """A database with pgq installed, to be copied and never connected to."""
    from pgq_core.db import AsyncpgDriver
    from pgq_core.queries import Queries

    async def install() -> None:
        connection = await asyncpg.connect(dsn)
        await Queries(AsyncpgDriver(connection)).initialize()
        await connection.close()

    dsn = databases.create()
    run_apart(install())
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def database(databases: Databases, template_database: str) -> Iterator[str]:
    """The DSN of a fresh database with pgq installed."""
    dsn = databases.create(template_database)
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """The DSN of a fresh database without pgq."""
    dsn = databases.create()
    yield dsn
    databases.drop(dsn)


@pytest.fixture
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """A factory of asyncpg connections, to the test's database unless told otherwise."""
    opened: list[asyncpg.Connection[Any]] = []

    async def open_one(dsn: str | None = None, **options: Any) -> asyncpg.Connection[Any]:
        connection = await asyncpg.connect(dsn or _database_of(request), **options)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.terminate()


@pytest.fixture
async def conn(database: str, connect: Connect) -> asyncpg.Connection[Any]:
    """One asyncpg connection to the test's database."""
    return await connect(database)


@pytest.fixture
async def queries(conn: asyncpg.Connection[Any]) -> Queries:
    """The database verbs on ``conn``."""
    from pgq_core.db import AsyncpgDriver
    from pgq_core.queries import Queries

    return Queries(AsyncpgDriver(conn))


@pytest.fixture
def private_server() -> Iterator[EmbeddedServer]:
    """A server of the test's own, for tests that restart or crash it."""
    with EmbeddedServer(settings={"max_connections": "50"}) as server:
        yield server


def _database_of(request: pytest.FixtureRequest) -> str:
    """The DSN of the test's database; it must be among the test's fixtures already."""
    name = "empty_database" if "empty_database" in request.fixturenames else "database"
    dsn: str = request.getfixturevalue(name)
    return dsn


def _check_major(dsn: str) -> None:
    major = os.environ.get("PGQ_TEST_PG_MAJOR")
    if major:
        with psycopg.connect(dsn) as connection:
            assert connection.info.server_version // 10000 == int(major)
