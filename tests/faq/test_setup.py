"""The FAQ on setting up: an existing database stays as it is, and set-up is one call."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgq_core.db import AsyncpgDriver
from pgq_core.queries import Queries

if TYPE_CHECKING:
    from tests.conftest import Connect

EVERY_NAME = """
SELECT c.relkind::text AS kind, c.relname AS name FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'function', p.proname FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'type', t.typname FROM pg_type AS t
WHERE t.typnamespace = 'public'::regnamespace AND t.typelem = 0
UNION ALL
SELECT 'trigger', g.tgname FROM pg_trigger AS g WHERE NOT g.tgisinternal
UNION ALL
SELECT 'extension', e.extname FROM pg_extension AS e
"""


async def names(connection: Any) -> set[tuple[str, str]]:
    """Everything a schema can hold, by kind and name; the server's extensions too."""
    return {(row["kind"], row["name"]) for row in await connection.fetch(EVERY_NAME)}


async def test_the_set_up_script(empty_database: str, connect: Connect) -> None:
    """Connect, make a driver, `Queries(driver).initialize()`: the tables are there."""
    connection = await connect(empty_database)
    queries = Queries(AsyncpgDriver(connection))
    await queries.initialize()

    found = await connection.fetch(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_name LIKE 'pgq\\_%'"
    )
    assert {"pgq_jobs", "pgq_schedules", "pgq_locks"} <= {row["table_name"] for row in found}
    await queries.check()


async def test_set_up_may_be_repeated(empty_database: str, connect: Connect) -> None:
    """A second `initialize()` changes nothing and keeps the jobs."""
    queries = Queries(AsyncpgDriver(await connect(empty_database)))
    await queries.initialize()
    (job,) = await queries.enqueue("greet", b"hello")
    await queries.initialize()
    assert (await queries.get_job(job)).payload == b"hello"


async def test_every_object_has_our_prefix(empty_database: str, connect: Connect) -> None:
    """Tables, indexes, sequences, functions, types, triggers: each name begins with pgq_."""
    connection = await connect(empty_database)
    before = await names(connection)
    await Queries(AsyncpgDriver(connection)).initialize()
    created = await names(connection) - before
    assert created
    assert [name for name in sorted(created) if not name[1].startswith("pgq_")] == []


async def test_an_existing_database_stays_as_it_is(empty_database: str, connect: Connect) -> None:
    """A database with tables, data and objects of its own is the same after install and removal."""
    connection = await connect(empty_database)
    await connection.execute("""
        CREATE TABLE users (id serial PRIMARY KEY, name text);
        CREATE TABLE orders (id serial PRIMARY KEY, user_id int REFERENCES users);
        CREATE TABLE products (id serial PRIMARY KEY);
        CREATE TABLE jobs (id serial PRIMARY KEY, state text);
        CREATE TYPE status AS ENUM ('queued', 'picked');
        CREATE FUNCTION claim() RETURNS int LANGUAGE sql AS 'SELECT 1';
        INSERT INTO users (name) VALUES ('Ada');
        INSERT INTO orders (user_id) VALUES (1);
        INSERT INTO jobs (state) VALUES ('mine');
    """)
    before = await names(connection)
    queries = Queries(AsyncpgDriver(connection))

    await queries.initialize()
    await queries.enqueue(["greet"] * 10)
    assert before <= await names(connection)
    assert await connection.fetchval("SELECT state FROM jobs") == "mine"

    await queries.uninstall()
    assert await names(connection) == before
    assert await connection.fetchval("SELECT name FROM users") == "Ada"


async def test_no_extension_is_needed(empty_database: str, connect: Connect) -> None:
    """Nothing has to be preloaded or created by a superuser: pgq is tables and functions."""
    connection = await connect(empty_database)
    before = await connection.fetch("SELECT extname FROM pg_extension")
    await Queries(AsyncpgDriver(connection)).initialize()
    assert await connection.fetch("SELECT extname FROM pg_extension") == before
    for file in (resources.files("pgq_core") / "migrations" / "v001").iterdir():
        assert "CREATE EXTENSION" not in file.read_text().upper(), file.name


async def test_another_schema(empty_database: str, connect: Connect) -> None:
    """The tables may live in a schema of their own."""
    connection = await connect(empty_database)
    queries = Queries(AsyncpgDriver(connection), schema="queue")
    await queries.initialize()
    (job,) = await queries.enqueue("greet")
    assert await connection.fetchval("SELECT count(*) FROM queue.pgq_jobs") == 1
    assert (await queries.get_job(job)).entrypoint == "greet"
    assert await connection.fetchval("SELECT to_regclass('public.pgq_jobs')") is None


def test_requirements_are_those_we_state() -> None:
    """Python 3.10 and later, asyncpg, and the extras the pages name: as the package says."""
    facts = metadata.metadata("pgq-suite")
    assert facts["Requires-Python"] == ">=3.10"
    assert sys.version_info >= (3, 10)
    extras = set(facts.get_all("Provides-Extra") or ())
    assert {"cli", "embedded", "django", "fastapi", "sqlalchemy", "otel", "all"} <= extras
    required = [r for r in facts.get_all("Requires-Dist") or () if "extra ==" not in r]
    assert any(requirement.startswith("asyncpg") for requirement in required)
    faq = (Path(__file__).parents[2] / "docs/faq.md").read_text(encoding="utf-8")
    assert "Python 3.10" in faq
    assert "PostgreSQL 13" in faq


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("pgq_core", "PgQueuer Job Schedule Context NewJob JobState Retry Snooze Cancel errors"),
        ("pgq_core.db", "AsyncpgDriver AsyncpgPoolDriver"),
        ("pgq_core.queries", "Queries"),
        ("pgq_core.models", "Job Schedule"),
    ],
)
def test_public_imports(module: str, names: str) -> None:
    """The names of the examples are where the pages say."""
    found = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(found, name)] == []
