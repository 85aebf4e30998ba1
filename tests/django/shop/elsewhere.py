"""A task in a module that no `tasks` module imports."""

from __future__ import annotations

from pgq_django.compat import NATIVE

if NATIVE:
    from django.tasks import task
else:
    from django_tasks import task


@task
def hidden(number: int) -> int:
    """Add one."""
    return number + 1
