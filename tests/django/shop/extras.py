"""A task with pgq's options as keywords of @task: Django 6.1."""

from __future__ import annotations

from django.tasks import task


@task(max_attempts=9, backoff=3)
def patient() -> None:
    """Do nothing."""
