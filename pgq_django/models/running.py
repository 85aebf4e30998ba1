"""Who runs jobs, and the rules they follow."""

# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models

from pgq_django.guard import ReadOnlyModelBase


class Worker(ReadOnlyModelBase):
    """One worker process."""

    worker_id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    lease_seconds = models.FloatField()
    stalled_seconds = models.FloatField()
    running = models.IntegerField()
    listener = models.TextField()
    info = models.JSONField()

    class Meta:
        db_table = "pgq_workers"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.name)


class Queue(ReadOnlyModelBase):
    """A pause flag of a queue, or of one entrypoint in it."""

    pk = models.CompositePrimaryKey("queue", "entrypoint")
    queue = models.TextField()
    entrypoint = models.TextField(default="")
    paused_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "pgq_queues"
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return str(self.queue)


class Schedule(ReadOnlyModelBase):
    """A cron rule that enqueues ordinary jobs."""

    name = models.TextField(primary_key=True)
    cron = models.TextField()
    timezone = models.TextField(default="UTC")
    catch_up = models.TextField(default="last")
    entrypoint = models.TextField()
    queue = models.TextField(default="default")
    priority = models.SmallIntegerField(default=5)
    payload = models.BinaryField(null=True)
    headers = models.JSONField(null=True)
    jitter = models.FloatField(default=0.0)
    paused_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    origin = models.TextField(default="code")

    class Meta:
        db_table = "pgq_schedules"

    def __str__(self) -> str:
        return str(self.name)


class Installation(ReadOnlyModelBase):
    """The version of the schema."""

    key = models.TextField(primary_key=True)
    value = models.TextField()

    class Meta:
        managed = False
        db_table = "pgq_meta"
        default_permissions = ()
