"""Run a statement of ours, or of the core, on Django's own connection."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pgq_core import sql
from pgq_core.errors import SchemaMissing
from pgq_django.exceptions import NotPostgreSQL
from pgq_django.schema import schema_of

UNDEFINED = ("42P01", "42883", "3F000")  # table, function, schema

Row = dict[str, Any]


class Record(tuple[Any, ...]):  # noqa: SLOT001  (it has the names)
    """A row as asyncpg gives it: by position and by name."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Record:
        """A record of a row by column."""
        made = cls(bytes(v) if isinstance(v, memoryview) else v for v in row.values())
        made.names = tuple(row)
        return made

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.names.index(key) if isinstance(key, str) else key)

    def keys(self) -> tuple[str, ...]:
        """The names, so that a record can become a dict."""
        return self.names

    def dict(self) -> Row:
        """By column again."""
        return dict(zip(self.names, self, strict=True))


@cache
def load(name: str, schema: str) -> sql.Statement:
    """`pgq_django/sql/<name>.sql`, else the core's file of that name."""
    own = files("pgq_django").joinpath("sql").joinpath(f"{name}.sql")
    if own.is_file():
        return sql.parse(own.read_text(encoding="utf-8"), schema)
    return sql.load(name, schema)


def connection_of(using: Any) -> BaseDatabaseWrapper:
    """An alias's connection, or the connection itself."""
    return connections[using] if isinstance(using, str) else using


def run(using: Any, name: str, /, **values: Any) -> list[Row]:
    """Run the statement inside whatever transaction is open on `using`; its rows by column."""
    connection = connection_of(using)
    if connection.vendor != "postgresql":
        raise NotPostgreSQL(connection.alias, connection.vendor)
    schema = schema_of(connection.alias)
    try:
        with connection.cursor() as cursor:
            cursor.execute(load(name, schema).pyformat, values)
            if cursor.description is None:
                return []
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except ProgrammingError as error:
        if sqlstate(error) in UNDEFINED:
            raise SchemaMissing(schema) from error
        raise


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code for an error Django has wrapped."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def decoded(value: Any) -> Any:
    """A jsonb column of a raw cursor: text, whatever the driver."""
    return json.loads(value) if isinstance(value, str) else value


def octets(value: Any) -> bytes:
    """A bytea column of a raw cursor: psycopg2 gives a memoryview."""
    return b"" if value is None else bytes(value)
