"""The task of the Django peers."""

from __future__ import annotations

from django.tasks import task

from benchmarks.peers.job import ran


@task
def note(n: int, pad: str) -> None:  # noqa: ARG001
    """Leave a line."""
    ran(n)
