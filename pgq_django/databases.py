"""Which database alias a queue lives in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string

_warned: set[tuple[str, str]] = set()


class OtherAlias(UserWarning):
    """A job is enqueued on another alias than the one whose transaction is open."""


def task_backend_settings() -> dict[str, dict[str, Any]]:
    """settings.TASKS, as it is now."""
    found: dict[str, dict[str, Any]] = getattr(settings, "TASKS", None) or {}
    return found


def our_backends() -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of settings.TASKS that are ours, subclasses included: alias and OPTIONS."""
    from pgq_django.backend import PgqBackend  # noqa: PLC0415  (imports this module)

    for alias, params in task_backend_settings().items():
        try:
            backend = import_string(params.get("BACKEND", ""))
        except ImportError:
            continue
        if isinstance(backend, type) and issubclass(backend, PgqBackend):
            yield alias, params.get("OPTIONS") or {}


def options_of_backend(backend: str | None = None) -> dict[str, Any]:
    """The OPTIONS of a Tasks backend; without one, of `default` or the first that is ours."""
    ours = dict(our_backends())
    return ours.get(backend or "default", next(iter(ours.values()), {}))


def database_of(backend: str | None = None) -> str:
    """The alias of a Tasks backend's database."""
    return str(options_of_backend(backend).get("database", DEFAULT_DB_ALIAS))


def home_of(stated: str, using: str) -> str:
    """The alias that a job's own transactions are on: the one its backend states, where that
    reaches the database which the worker serves by `using`, else `using`."""
    if stated == using or stated not in connections.settings:
        return using
    return stated if same_place(stated, using) else using


@cache
def same_place(one: str, other: str) -> bool:
    """Whether two aliases lead to one database, be it through a pooler."""
    found = []
    for alias in (one, other):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_postmaster_start_time(), current_database()")
            found.append(cursor.fetchone())
    return bool(found[0] == found[1])


def warn_if_elsewhere(using: str) -> None:
    """Say once that the job does not belong to the transaction that is open on another alias."""
    if connections[using].in_atomic_block:
        return
    for other in connections.all(initialized_only=True):
        pair = (using, other.alias)
        if other.in_atomic_block and other.alias != using and pair not in _warned:
            _warned.add(pair)
            warnings.warn(
                f"a job is enqueued on the database {using!r} at once, although the transaction "
                f"open here is on {other.alias!r}: a rollback will not take the job back. Pass "
                f"using={other.alias!r}, or use pgq_django.enqueue_on_commit()",
                OtherAlias,
                stacklevel=4,
            )
