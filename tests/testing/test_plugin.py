"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pgq_core.testing import Databases
from pgq_core.testing.databases import name_in

TESTS = """
import asyncio
import asyncpg
import pytest
from pgq_core import PgQueuer
from pgq_core.testing import assert_enqueued, run_pending

@pytest.fixture(scope="session")
def pgq_prepare(pgq_prepare):
    async def prepare(dsn):
        await pgq_prepare(dsn)
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE mine ()")
        await connection.close()
    return prepare

pgq = PgQueuer()

@pgq.task()
async def hello(name: str) -> str:
    return f"hello {name}"

@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_per_test(pgq_database, pgq_clock, turn):
    async def body():
        async with pgq.connected(pgq_database):
            await hello.using(delay=60).enqueue("you")
            await assert_enqueued(pgq, hello, count=1)
            [ran] = await run_pending(pgq, now=pgq_clock.move(minutes=2))
            assert ran.result == "hello you"
            await pgq.queries.driver.fetch("SELECT FROM mine")
    asyncio.run(body())

def test_nothing_is_loaded_for_nothing():
    pass
"""

CONFIG = """
[pytest]
filterwarnings = error
"""


def test_the_fixtures(tmp_path: Path, server_dsn: str, clean_environment: dict[str, str]) -> None:
    """With the package installed, `pgq_database` gives every test a database of its own."""
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**clean_environment, "PGQ_TEST_DSN": server_dsn},
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_a_server_without_a_host(server_dsn: str) -> None:
    """The DSN of a test's database opens it in every library, also where the server's names no host."""
    user, embedded, rest = server_dsn.removeprefix("postgresql://").partition("@/")
    if not embedded:
        pytest.skip("needs the embedded server, which has no host")
    databases = Databases(f"postgresql:///{rest}&user={user}")
    dsn = databases.create()
    try:
        with psycopg.connect(dsn) as connection:
            assert connection.info.dbname == name_in(dsn)
    finally:
        databases.drop(dsn)
        databases.close()
