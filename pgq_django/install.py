"""The core's own SQL, run by Django's schema editor: a migration's operation."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from typing import Any

from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from pgq_core.migrations import VERSION, drop_script, upgrade_script
from pgq_core.sql import quote
from pgq_django.schema import schema_of

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('pgq install ' || %s, 0))"


class InstallVersion(Operation):
    """Take the schema to a version of the core, unless it (or `pgq-core upgrade`) did so before."""

    reduces_to_sql = True
    reversible = True
    atomic = True

    def __init__(self, version: int) -> None:
        self.version = version

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.version], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models stand beside this operation, in SeparateDatabaseAndState."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if concerns_us(app_label, schema_editor.connection):
            take_to(self.version, schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if self.version == 1 and concerns_us(app_label, schema_editor.connection):
            run(schema_editor, drop_script(schema_of(schema_editor.connection.alias)))

    def describe(self) -> str:
        return f"Install version {self.version} of the job queue's tables"


def install_unmigrated(sender: Any, using: str, **_: Any) -> None:
    """Before `migrate` in a project that turns migrations off, as test suites do: what Django would
    make of the models alone is no queue."""
    module, _explicit = MigrationLoader.migrations_module(sender.label)
    if module is None and concerns_us(sender.label, connections[using]):
        with connections[using].schema_editor() as schema_editor:
            take_to(VERSION, schema_editor)


def take_to(version: int, schema_editor: Any) -> None:
    """Install or upgrade, unless the schema is there already."""
    schema = schema_of(schema_editor.connection.alias)
    found = installed(schema_editor, schema)
    if found < version:
        script = upgrade_script(schema, found, version)
        create = f"CREATE SCHEMA IF NOT EXISTS {quote(schema)};\n"
        run(schema_editor, (create if schema != "public" else "") + script)


def concerns_us(app_label: str, connection: Any) -> bool:
    """Whether the queue may live in this database: the router decides, and it is PostgreSQL."""
    return connection.vendor == "postgresql" and router.allow_migrate(connection.alias, app_label)


def installed(schema_editor: Any, schema: str) -> int:
    """The version in the database, under the core's own lock; 0 when only SQL is collected."""
    if schema_editor.collect_sql:
        return 0
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(LOCK, [schema])
        cursor.execute("SELECT to_regclass(%s)", [f"{quote(schema)}.pgq_meta"])
        if cursor.fetchone()[0] is None:
            return 0
        cursor.execute(
            f"SELECT value FROM {quote(schema)}.pgq_meta WHERE key = 'version'"  # noqa: S608
        )
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def run(schema_editor: Any, script: str) -> None:
    """Run a script that sets search_path for itself, and put the search_path back."""
    if schema_editor.collect_sql:
        schema_editor.execute(script, params=None)
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('search_path')")
        before = cursor.fetchone()[0]
        cursor.execute(script)
        cursor.execute("SELECT set_config('search_path', %s, TRUE)", [before])
