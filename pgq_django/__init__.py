"""pgq for Django: a job queue that belongs to the site's own database and transactions.

The names in `__all__` and those of `pgq_django.testing` are public. They are loaded on first use,
because `INSTALLED_APPS` imports this package before Django's settings may be touched.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgq_django.backend import PgqBackend
    from pgq_django.batches import Batch, batch, chain
    from pgq_django.enqueueing import (
        OnCommit,
        enqueue,
        enqueue_many,
        enqueue_on_commit,
        enqueue_outside,
    )
    from pgq_django.jobs import job
    from pgq_django.schedules import schedule
    from pgq_django.task_options import TaskOptions, options
    from pgq_django.worker.attempt import current_context

_HOMES = {
    "PgqBackend": "backend",
    "Batch": "batches",
    "batch": "batches",
    "chain": "batches",
    "OnCommit": "enqueueing",
    "enqueue": "enqueueing",
    "enqueue_many": "enqueueing",
    "enqueue_on_commit": "enqueueing",
    "enqueue_outside": "enqueueing",
    "job": "jobs",
    "TaskOptions": "task_options",
    "options": "task_options",
    "schedule": "schedules",
    "current_context": "worker.attempt",
}

__all__ = [
    "Batch",
    "OnCommit",
    "PgqBackend",
    "TaskOptions",
    "batch",
    "chain",
    "current_context",
    "enqueue",
    "enqueue_many",
    "enqueue_on_commit",
    "enqueue_outside",
    "job",
    "options",
    "schedule",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(importlib.import_module(f"pgq_django.{home}"), name)
