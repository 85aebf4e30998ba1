"""System checks: each trap is named."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test import modify_settings, override_settings

from pgq_django.checks import check_backend
from pgq_django.compat import task_backends
from tests.django.support import alias_on, scalar

BACKEND = "pgq_django.PgqBackend"


def ids(**options: Any) -> list[str | None]:
    """What the check of one backend with these OPTIONS finds."""
    stated = {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": options}
    with override_settings(TASKS={"default": stated}):
        return [message.id for message in check_backend(task_backends["default"])]


def test_nothing_to_say() -> None:
    """A sound configuration gives no message."""
    found = checks.run_checks(include_deployment_checks=False, databases=["default"])
    assert [m for m in found if "pgq" in str(m.id)] == []
    assert ids(max_attempts=3, database="default") == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"max_atempts": 3}, "pgq_django.E004"),
        ({"max_attempts": 0}, "pgq_django.E007"),
        ({"database": "nowhere"}, "pgq_django.E002"),
    ],
)
def test_manage_py_check(options: dict[str, Any], found: str) -> None:
    """`manage.py check` shows what is wrong with an entry of TASKS, and fails."""
    stated = {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": options}
    with (
        override_settings(TASKS={"default": stated}),
        pytest.raises(SystemCheckError, match=rf"\({found}\) TASKS\['default'\]"),
    ):
        call_command("check")


def test_the_app_is_missing() -> None:
    """PgqBackend without the app is an error."""
    with modify_settings(INSTALLED_APPS={"remove": ["pgq_django"]}):
        assert ids() == ["pgq_django.E001"]


def test_a_wrong_alias() -> None:
    """An alias that does not exist, or is not PostgreSQL, is an error."""
    assert ids(database="nowhere") == ["pgq_django.E002"]
    other = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    from django.db import connections

    connections.settings["lite"] = {**connections.settings["default"], **other, "OPTIONS": {}}
    try:
        assert ids(database="lite") == ["pgq_django.E003"]
    finally:
        del connections["lite"], connections.settings["lite"]


def test_misspelt_options() -> None:
    """A misspelt option of the backend is an error that names the right one."""
    stated = {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": {"max_atempts": 3}}
    with override_settings(TASKS={"default": stated}):
        found = list(check_backend(task_backends["default"]))
    assert found[0].id == "pgq_django.E004"
    assert "max_attempts" in str(found[0].hint)


def test_surprising_connections(database: str) -> None:
    """Two aliases of one database, a pooler and a higher isolation level are warned about."""
    from psycopg import IsolationLevel

    with alias_on(database, isolation_level=IsolationLevel.SERIALIZABLE):
        settings.DATABASES["other"]["DISABLE_SERVER_SIDE_CURSORS"] = True
        assert ids(database="other") == ["pgq_django.W003", "pgq_django.W004"]
        with alias_on(database, "twin"):
            assert "pgq_django.W002" in ids(database="other")


def test_a_schema_the_models_do_not_see(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGQ_SCHEMA without the alias's search_path is warned about: the admin would look elsewhere."""
    monkeypatch.setenv("PGQ_SCHEMA", "queue")
    with alias_on(database):
        assert ids(database="other") == ["pgq_django.W007"]
    with alias_on(database, options="-c search_path=queue,public"):
        assert ids(database="other") == []


def test_tasks_go_elsewhere() -> None:
    """The app without its backend in TASKS is warned about."""
    elsewhere = {"BACKEND": "does.not.matter"}
    with override_settings(TASKS={"default": elsewhere}):
        from pgq_django.checks import check_tasks

        assert [message.id for message in check_tasks()] == ["pgq_django.W001"]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"max_attempts": 3}, []),
        ({"max_attempts": 4}, ["pgq_django.W005"]),
        ({"max_attempts": 4, "database": "elsewhere"}, []),
    ],
)
def test_clashing_entries(other: dict[str, Any], found: list[str]) -> None:
    """Two entries of TASKS for one queue with different defaults are warned about."""
    from pgq_django.checks import check_tasks

    both = {
        name: {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": options}
        for name, options in (("default", {"max_attempts": 3}), ("other", other))
    }
    with override_settings(TASKS=both):
        assert [message.id for message in check_tasks()] == found


@pytest.mark.parametrize(("version", "found"), [("0", 1), ("999", 1)])
def test_the_schema_is_behind(db: Any, version: str, found: int) -> None:
    """Tables of another version than the code's are told by the database checks, which do not keep
    `migrate` from mending it."""
    before = scalar(connection, "SELECT value FROM pgq_meta WHERE key = 'version'")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgq_meta SET value = %s WHERE key = 'version'", [version])
        try:
            messages = checks.run_checks(databases=["default"], tags=["database"])
            assert [m.id for m in messages if "pgq" in str(m.id)] == ["pgq_django.W006"] * found
            call_command("migrate", "contenttypes", verbosity=0)
        finally:
            cursor.execute("UPDATE pgq_meta SET value = %s WHERE key = 'version'", [before])
