"""`immediate()`: every job runs where it is enqueued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgq_django import enqueueing
from pgq_django.testing.pending import Ran, run_pending


@contextmanager
def immediate() -> Iterator[list[Ran]]:
    """Inside the block a job that is due runs as soon as it is enqueued, on the same connection.

    Gives the list of attempts made so far. In production the job would run after the commit.
    """
    ran: list[Ran] = []

    def run_now(alias: str, ids: list[int]) -> None:
        ran.extend(run_pending(ids=ids, using=alias))

    enqueueing.inserted.append(run_now)
    try:
        yield ran
    finally:
        enqueueing.inserted.remove(run_now)
