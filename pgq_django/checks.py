"""System checks for the traps. E: it will not work; W: it works, and surprises."""

# ruff: noqa: ARG001  (the signatures are Django's)

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from pgq_core.errors import PgqError, SchemaMissing
from pgq_django.databases import our_backends
from pgq_django.schema import DEFAULT, schema_of, searched
from pgq_django.task_options import NAMES
from pgq_django.tracing import OPTION, available
from pgq_django.verbs import Verbs, at_once

KNOWN = ("database", OPTION, *NAMES)
SAME = ("HOST", "PORT", "NAME")


def check_backend(backend: Any) -> Iterator[CheckMessage]:
    """One entry of TASKS that is ours."""
    where = f"TASKS[{backend.alias!r}]"
    if not apps.is_installed("pgq_django"):
        yield Error(
            f"{where} is a PgqBackend, but pgq_django is not in INSTALLED_APPS.",
            hint="Add 'pgq_django' to INSTALLED_APPS and run manage.py migrate.",
            id="pgq_django.E001",
        )
    yield from check_database(where, backend.database)
    for name in backend.options:
        if name not in KNOWN:
            close = difflib.get_close_matches(str(name), KNOWN, 1)
            yield Error(
                f"{where}['OPTIONS'][{name!r}] is no option of PgqBackend.",
                hint=f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(KNOWN)}.",
                id="pgq_django.E004",
            )
    if problem := backend.task_options.problem:
        yield Error(f"{where}['OPTIONS']: {problem}.", id="pgq_django.E007")
    if backend.options.get(OPTION) and not available():
        yield Error(
            f"{where}['OPTIONS']['tracing'] is set, but OpenTelemetry is not installed.",
            hint="pip install 'pgq-suite[otel]'",
            id="pgq_django.E006",
        )


def check_database(where: str, alias: str) -> Iterator[CheckMessage]:
    """The database a backend names."""
    if alias not in settings.DATABASES:
        yield Error(
            f"{where}: there is no database {alias!r} in DATABASES.",
            hint="Set OPTIONS['database'] to one of: " + ", ".join(settings.DATABASES) + ".",
            id="pgq_django.E002",
        )
        return
    if connections[alias].vendor != "postgresql":
        yield Error(
            f"{where}: the database {alias!r} is {connections[alias].vendor}, not PostgreSQL.",
            hint="The queue lives in PostgreSQL; give it an alias of its own if need be.",
            id="pgq_django.E003",
        )
        return
    yield from check_twin(where, alias)
    yield from check_settings(where, alias)


def check_twin(where: str, alias: str) -> Iterator[CheckMessage]:
    """Another alias of the same database: another connection, hence another transaction."""
    mine = settings.DATABASES[alias]
    for other, entry in settings.DATABASES.items():
        if other != alias and all(entry.get(key) == mine.get(key) for key in SAME):
            yield checks.Warning(
                f"{where}: the databases {alias!r} and {other!r} are the same database on two "
                "connections.",
                hint=f"A job enqueued on {alias!r} is not part of a transaction on {other!r}; use "
                "one alias for both, or pass using=.",
                id="pgq_django.W002",
            )


def check_settings(where: str, alias: str) -> Iterator[CheckMessage]:
    """Settings of the connection that change what the queue promises."""
    entry = settings.DATABASES[alias]
    level = (entry.get("OPTIONS") or {}).get("isolation_level")
    if level is not None and getattr(level, "name", level) not in (1, 2, "READ_COMMITTED"):
        yield checks.Warning(
            f"{where}: the database {alias!r} has an isolation level above READ COMMITTED.",
            hint="A duplicate unique key may raise a serialization error there: retry the view.",
            id="pgq_django.W003",
        )
    if schema_of(alias) not in (DEFAULT, searched(alias)):
        yield checks.Warning(
            f"{where}: PGQ_SCHEMA puts the queue into the schema {schema_of(alias)!r}, but the "
            f"search_path of the database {alias!r} does not: the admin and the models look "
            "elsewhere.",
            hint=f'Add "-c search_path={schema_of(alias)},public" to OPTIONS["options"] there.',
            id="pgq_django.W007",
        )
    if entry.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield checks.Warning(
            f"{where}: the database {alias!r} seems to be behind a pooler, where LISTEN hears "
            "nothing: workers will poll.",
            hint="Run the worker with --database on an alias that reaches PostgreSQL directly.",
            id="pgq_django.W004",
        )


def clashes(ours: dict[str, dict[str, Any]]) -> Iterator[CheckMessage]:
    """Two entries of TASKS on one database whose defaults differ: a job keeps to its task's."""
    for (one, mine), (other, theirs) in itertools.combinations(ours.items(), 2):
        same = mine.get("database", "default") == theirs.get("database", "default")
        differ = [name for name in NAMES if mine.get(name) != theirs.get(name)]
        if same and differ:
            yield checks.Warning(
                f"TASKS[{one!r}] and TASKS[{other!r}] are one queue with different "
                f"{', '.join(differ)} in their OPTIONS.",
                hint="The entry that a task was declared for counts, also for jobs enqueued by "
                "using(backend=...). State such options at the task.",
                id="pgq_django.W005",
            )


@register(Tags.compatibility)
def check_tasks(app_configs: Any = None, **kwargs: Any) -> Iterable[CheckMessage]:
    """The app is installed; do tasks reach it?"""
    ours = dict(our_backends())
    if ours:
        return list(clashes(ours))
    return [
        checks.Warning(
            "pgq_django is installed, but no entry of TASKS uses it: Django runs tasks elsewhere.",
            hint='TASKS = {"default": {"BACKEND": "pgq_django.PgqBackend"}}',
            id="pgq_django.W001",
        )
    ]


@register(Tags.database)
def check_schema(
    app_configs: Any = None, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """The tables are as new as the code. Missing ones are the business of `migrate`."""
    ours = {str(options.get("database", "default")) for _, options in our_backends()}
    for alias in ours & set(databases or ()):
        if connections[alias].vendor != "postgresql":
            continue
        try:
            at_once(Verbs(alias).check_version())
        except SchemaMissing:
            continue
        except PgqError as error:
            # A warning: `migrate`, which mends it, runs the checks first. Workers refuse to start.
            yield checks.Warning(f"The database {alias!r}: {error}", id="pgq_django.W006")
