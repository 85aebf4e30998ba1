"""Django on the server all tests share: one migrated database per test process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import Databases

HERE = os.path.dirname(__file__)  # noqa: PTH120  (needed before anything is imported)
DJANGO = importlib.util.find_spec("django") is not None

if DJANGO:
    import django

    DJANGO = django.VERSION >= (6, 0) or importlib.util.find_spec("django_tasks") is not None

if DJANGO:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.settings")
    django.setup()

collect_ignore_glob = [] if DJANGO else ["*"]


@pytest.fixture(scope="session")
def django_dsn(databases: Databases) -> Iterator[str]:
    """The DSN of a database of Django's, migrated by Django."""
    from django.core.management import call_command
    from django.db import connections

    from tests.django.settings import point_at

    dsn = databases.create()
    point_at(dsn)
    call_command("migrate", verbosity=0, interactive=False)
    yield dsn
    connections.close_all()
    databases.drop(dsn)


@pytest.fixture(autouse=True)
def _django(django_dsn: str) -> None:
    """Every test here may use Django's database."""


@pytest.fixture
def db(django_dsn: str) -> Iterator[Any]:
    """Django's connection outside of any transaction; afterwards the tables are empty again."""
    from django.db import connection, connections

    from tests.django.support import empty_tables

    yield connection
    for one in connections.all(initialized_only=True):
        one.close()
    empty_tables()
