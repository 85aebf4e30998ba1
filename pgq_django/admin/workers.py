"""Workers: who is there, since when, and how it beats."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html

from pgq_django.admin.base import QueueAdmin
from pgq_django.admin.detail import pretty
from pgq_django.models import Worker


class WorkerAdmin(QueueAdmin):
    """Read-only."""

    list_display = ("worker_id", "name", "health", "running", "started_at", "listener")
    ordering = ("-worker_id",)
    fields = readonly_fields = (
        "name", "health", "running", "started_at", "beat_at", "listener", "told",
    )  # fmt: skip

    @admin.display(description="state")
    def health(self, worker: Worker) -> str:
        """Alive, stalled or dead."""
        word = state_of(worker)
        return format_html('<span class="pgq-state pgq-{}">{}</span>', word, word)

    @admin.display(description="serves")
    def told(self, worker: Worker) -> str:
        """What it serves."""
        return pretty(worker.info)


def state_of(worker: Any) -> str:
    """Alive, stalled (beats, but its loop is blocked) or dead."""
    now = timezone.now()
    if (now - worker.beat_at).total_seconds() > worker.lease_seconds:
        return "dead"
    return "stalled" if worker.stalled_seconds else "alive"
