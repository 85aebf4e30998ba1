"""The worker's connection, derived from DATABASES."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from pgq_core.embedded import EmbeddedServer
from pgq_django.schema import schema_of
from pgq_django.worker.dsn import dsn_of
from tests.django.settings import database as entry_of
from tests.django.support import alias_on, scalar
from tests.django.test_shop import free_port


def dsn(database: str, **options: Any) -> str:
    """The DSN of an alias with these OPTIONS."""
    with alias_on(database, **options):
        return dsn_of("other")


async def asked(dsn: str, statement: str) -> Any:
    """What the worker's connection answers."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_it_connects(database: str) -> None:
    """What is derived reaches the same database, whatever the names contain."""
    settings = "-c search_path=queue,public -c application_name='a b'"
    derived = dsn(database, options=settings, assume_role="postgres")

    found = [
        asyncio.run(asked(derived, f"SELECT current_setting('{name}')"))
        for name in ("search_path", "application_name", "role")
    ]
    assert found == ["queue,public", "a b", "postgres"]
    name = urlsplit(database).path[1:]
    assert asyncio.run(asked(derived, "SELECT current_database()")) == name


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


@pytest.fixture(scope="module")
def second() -> Iterator[dict[str, Any]]:
    """A server on a port of its own that can only be read, as a standby."""
    with EmbeddedServer(settings={"default_transaction_read_only": "on"}, tcp=True) as server:
        entry = entry_of(server.dsn())
        yield {name: entry[name] for name in ("NAME", "USER", "PASSWORD", "PORT")}


@pytest.mark.skipif("PGQ_TEST_DSN" in os.environ, reason="the servers have different users")
def test_several_hosts(second: dict[str, Any], server_dsn: str) -> None:
    """Of several hosts the first that answers is taken, by Django and its worker alike; one port
    may stand for all, and OPTIONS may ask for a server that can be written to."""
    one, port = entry_of(server_dsn)["HOST"], second["PORT"]

    def reached(host: str, ports: str, **options: Any) -> tuple[str, str]:
        with alias_on(server_dsn, **options) as alias:
            alias.settings_dict.update({**second, "HOST": host, "PORT": ports})
            return scalar(alias, "SHOW port"), asyncio.run(asked(dsn_of("other"), "SHOW port"))

    assert reached(f"127.0.0.1,{one}", f"{port},5432") == (port, port)
    assert reached(f"127.0.0.1,{one}", f"{free_port()},5432") == ("5432", "5432")
    assert reached("127.0.0.1,127.0.0.1", f"{free_port()},{port}") == (port, port)
    assert reached(f"/nowhere,{one}", "5432") == ("5432", "5432")
    writable = {"target_session_attrs": "read-write"}
    assert reached(f"127.0.0.1,{one}", f"{port},5432", **writable) == ("5432", "5432")


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("a,b,c", "1,2", "3 hosts, 2 ports"),
        ("", "1,2", "0 hosts, 2 ports"),
        ("a,,b", "", "a name or an address to each host"),
        ("a,b", "5432,x", "a number to each port"),
    ],
)
def test_hosts_that_do_not_fit(database: str, host: str, port: str, said: str) -> None:
    """Hosts and ports that do not go together are named."""
    with alias_on(database) as alias:
        alias.settings_dict.update(HOST=host, PORT=port, OPTIONS={})
        with pytest.raises(ImproperlyConfigured, match=rf"HOST='{host}', PORT='{port}' .*{said}"):
            dsn_of("other")


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
