"""The worker's connection, derived from DATABASES."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from pgq_django.schema import schema_of
from pgq_django.worker.dsn import dsn_of
from tests.django.support import alias_on


def dsn(database: str, **options: Any) -> str:
    """The DSN of an alias with these OPTIONS."""
    with alias_on(database, **options):
        return dsn_of("other")


def test_it_connects(database: str) -> None:
    """What is derived reaches the same database, whatever the names contain."""

    settings = "-c search_path=queue,public -c application_name='a b'"
    derived = dsn(database, options=settings, assume_role="postgres")

    async def names() -> list[Any]:
        connection = await asyncpg.connect(derived)
        try:
            return [
                await connection.fetchval(f"SELECT current_setting('{name}')")
                for name in ("search_path", "application_name", "role")
            ] + [await connection.fetchval("SELECT current_database()")]
        finally:
            await connection.close()

    name = urlsplit(database).path[1:]
    assert asyncio.run(names()) == ["queue,public", "a b", "postgres", name]


def test_everything_asyncpg_knows_is_passed(database: str) -> None:
    """TLS, service, passfile, several hosts and awkward passwords arrive."""
    given = {"sslmode": "verify-full", "sslrootcert": "/c/ca.pem", "sslcert": "/c/me.pem",
             "sslkey": "/c/me.key", "service": "s", "passfile": "/p",
             "target_session_attrs": "read-write"}  # fmt: skip
    with alias_on(database, **given):
        connections.settings["other"].update(
            HOST="one,two", PORT="5432,5433", USER="u@x", PASSWORD="p:/@%?", NAME="a/b c"
        )
        parts = urlsplit(dsn_of("other"))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert query == {**given, "host": "one,two", "port": "5432,5433"}
    assert parts.path == "/a%2Fb%20c"
    assert parts.netloc == "u%40x:p%3A%2F%40%25%3F@"


def test_what_is_psycopgs_own_is_left_out(database: str) -> None:
    """Options that mean something to Django or psycopg alone do not matter to the worker."""
    from psycopg import ClientCursor

    given = {"pool": True, "server_side_binding": True, "cursor_factory": ClientCursor,
             "prepare_threshold": None, "keepalives_idle": 3, "connect_timeout": 4}  # fmt: skip
    with alias_on(database):
        plain = dsn_of("other")
        connections.settings["other"]["OPTIONS"].update(given)
        try:
            assert dsn_of("other") == plain
        finally:
            connections.settings["other"]["OPTIONS"].clear()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"gssdelegation": 1}, "'gssdelegation'"), ({"options": "-B 7"}, "'-B'")],
)
def test_what_cannot_be_translated_is_named(
    database: str, options: dict[str, Any], named: str
) -> None:
    """An option the worker's connection cannot have is named, not dropped."""
    with pytest.raises(ImproperlyConfigured, match=named):
        dsn(database, **options)


@pytest.mark.parametrize(
    ("options", "schema"),
    [
        ("", "public"),
        ("-c search_path=queue", "queue"),
        ("-csearch_path='$user',jobs,public", "jobs"),
        ("--search-path=a,b -c jit=off", "a"),
        ("-c statement_timeout=5000", "public"),
    ],
)
def test_the_schema(database: str, options: str, schema: str) -> None:
    """The tables live in the first schema of the alias's search_path, else in `public`."""
    with alias_on(database, options=options):
        assert schema_of("other") == schema


def test_the_schema_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a search_path, PGQ_SCHEMA says where."""
    monkeypatch.setenv("PGQ_SCHEMA", "elsewhere")
    assert schema_of("default") == "elsewhere"
