"""What the Django tests share."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from django.core.management.color import no_style
from django.db import connection, connections

from tests.django.settings import database


@contextmanager
def alias_on(dsn: str, alias: str = "other", **options: Any) -> Iterator[Any]:
    """Another entry of DATABASES, on a DSN, for the length of the block."""
    entry = copy.deepcopy(connections.settings["default"])
    entry.update(database(dsn))
    entry["OPTIONS"] = {**entry["OPTIONS"], **options}
    connections.settings[alias] = entry
    try:
        yield connections[alias]
    finally:
        connections[alias].close()
        connections[alias].close_pool()
        del connections[alias], connections.settings[alias]


def on_core(dsn: str, verb: str, **values: Any) -> Any:
    """Call one verb of the core's Queries on a database, on an asyncpg connection."""
    from pgq_core.db import AsyncpgDriver
    from pgq_core.queries import Queries

    async def call() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            schema = values.pop("schema", None)
            return await getattr(Queries(AsyncpgDriver(connection), schema), verb)(**values)
        finally:
            await connection.close()

    return asyncio.run(call())


def scalar(on: Any, statement: str, *values: Any) -> Any:
    """The first column of the first row."""
    with on.cursor() as cursor:
        cursor.execute(statement, list(values))
        row = cursor.fetchone()
        return row[0] if row else None


def state(job: Any) -> str:
    """The state of a job, by its id or its result's."""
    from pgq_django.models import Job

    return Job.objects.get(pk=int(str(job).removeprefix("pgq-"))).state


def empty_tables() -> None:
    """Empty every table but what `migrate` has filled: content types and permissions."""
    kept = {"auth_permission", "django_content_type"}
    tables = set(connection.introspection.django_table_names(only_existing=True)) - kept
    flush = connection.ops.sql_flush(no_style(), sorted(tables), reset_sequences=True)
    connection.ops.execute_sql_flush(flush)
