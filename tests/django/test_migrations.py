"""Migrations: Django and the core install the same tables and recognise each other's."""

from __future__ import annotations

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

import pgq_django
from pgq_core.errors import SchemaMissing
from pgq_core.migrations import VERSION
from tests.django.support import alias_on, on_core, scalar

TABLES = (
    "SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class AS c "
    "WHERE c.relnamespace = %s::regnamespace AND c.relname LIKE 'pgq\\_%%' AND c.relkind = 'r'"
)


def migrate(alias: str, target: str | None = None) -> None:
    call_command(
        "migrate", "pgq_django", *([target] if target else []), database=alias, verbosity=0
    )


def test_no_changes_are_missing() -> None:
    """`makemigrations --check` has nothing to add."""
    call_command("makemigrations", "pgq_django", check=True, dry_run=True, stdout=StringIO())


def test_the_core_recognises_what_django_installed(empty_database: str) -> None:
    """A database migrated by Django is one that pgq-core takes as its own."""
    with alias_on(empty_database):
        migrate("other")
    on_core(empty_database, "check")
    on_core(empty_database, "initialize")
    assert on_core(empty_database, "enqueue", entrypoints="a") == [1]


def test_django_recognises_what_the_core_installed(database: str) -> None:
    """A database installed by pgq-core is migrated without touching its jobs."""
    assert on_core(database, "enqueue", entrypoints="a") == [1]
    with alias_on(database) as other:
        migrate("other")
        assert scalar(other, "SELECT count(*) FROM pgq_jobs") == 1


def test_without_migrations(empty_database: str) -> None:
    """Where migrations are off, as in many test suites, `migrate` makes the queue all the same."""
    with alias_on(empty_database), override_settings(MIGRATION_MODULES={"pgq_django": None}):
        for _ in range(2):
            call_command("migrate", database="other", run_syncdb=True, verbosity=0)
        assert pgq_django.enqueue("name", using="other") == 1
    on_core(empty_database, "check")


def test_the_migration_is_reversible(empty_database: str) -> None:
    """`migrate pgq_django zero` removes everything pgq created, and `migrate` brings it back."""
    with alias_on(empty_database) as other:
        migrate("other")
        migrate("other", "zero")
        assert scalar(other, TABLES, "public") is None
        with pytest.raises(SchemaMissing):
            on_core(empty_database, "check")
        migrate("other")
        on_core(empty_database, "check")


def test_another_schema_by_search_path(empty_database: str) -> None:
    """The tables live where the alias's search_path says, and Django's own stay where they were."""
    with alias_on(empty_database, options="-c search_path=queue,public") as other:
        with other.cursor() as cursor:
            cursor.execute("CREATE SCHEMA queue")
        migrate("other")
        assert "pgq_jobs" in scalar(other, TABLES, "queue")
        assert scalar(other, TABLES, "public") is None
        assert scalar(other, "SELECT to_regclass('queue.django_migrations') IS NOT NULL")
    on_core(empty_database, "check", schema="queue")


def test_sqlmigrate_shows_the_sql(django_dsn: str) -> None:
    """`sqlmigrate` prints the SQL the core runs."""
    out = StringIO()
    call_command("sqlmigrate", "pgq_django", "0001", stdout=out)
    assert "CREATE TABLE pgq_jobs" in out.getvalue()


def test_every_table_but_two_has_a_managed_model() -> None:
    """TransactionTestCase empties every table of the queue, except the version and the epoch."""
    managed = {
        model._meta.db_table
        for model in apps.get_app_config("pgq_django").get_models()
        if model._meta.managed
    }
    tables = set(scalar(connection, TABLES, "public"))
    assert tables - managed == {"pgq_meta", "pgq_epoch"}
    assert managed <= tables


def test_the_version_survives_a_flush(db: object) -> None:
    """`manage.py flush` empties the queue and leaves the schema's version alone."""
    call_command("flush", verbosity=0, interactive=False)
    assert scalar(connection, "SELECT value FROM pgq_meta WHERE key = 'version'") == str(VERSION)
