"""Connections around a task: fresh before it, given back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, reset_queries


@contextmanager
def tidy_connections() -> Iterator[None]:
    """Around one task in a thread: no connection of a dead server, none kept beyond its age.

    Never inside a transaction: a TestCase holds one open, and closing it would end the test.
    """
    reset_queries()
    close_old()
    try:
        yield
    finally:
        close_old()


def close_old() -> None:
    """What Django does around a request, for every connection outside of a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
