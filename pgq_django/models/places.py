"""Where jobs stand: lanes, pointers, leases, keys."""

# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models

from pgq_django.guard import ReadOnlyModelBase


class Lane(ReadOnlyModelBase):
    """One (queue, entrypoint, priority) that has ever been used."""

    id = models.BigAutoField(primary_key=True)
    lane_id = models.BigIntegerField()
    priority = models.SmallIntegerField()
    kind = models.TextField()
    queue = models.TextField()
    entrypoint = models.TextField()

    class Meta:
        db_table = "pgq_lanes"
        default_permissions = ()


class Ready(ReadOnlyModelBase):
    """A job that may start now."""

    pk = models.CompositePrimaryKey("lane_id", "position")
    lane_id = models.BigIntegerField()
    position = models.BigIntegerField()
    job_id = models.BigIntegerField()

    class Meta:
        db_table = "pgq_ready"
        default_permissions = ()


class Deferred(ReadOnlyModelBase):
    """A job that starts later: scheduled, waiting for a retry, snoozed."""

    pk = models.CompositePrimaryKey("run_at", "job_id")
    run_at = models.DateTimeField()
    lane_id = models.BigIntegerField()
    job_id = models.BigIntegerField()

    class Meta:
        db_table = "pgq_deferred"
        default_permissions = ()


class Blocked(ReadOnlyModelBase):
    """A job parked until something else ends."""

    job_id = models.BigIntegerField(primary_key=True)
    lane_id = models.BigIntegerField()
    entrypoint = models.TextField()
    scope = models.TextField()

    class Meta:
        db_table = "pgq_blocked"
        default_permissions = ()


class Lease(ReadOnlyModelBase):
    """One claimed batch."""

    pk = models.CompositePrimaryKey("worker_id", "lease_id")
    worker_id = models.BigIntegerField()
    lease_id = models.BigIntegerField()
    claimed_at = models.DateTimeField()

    class Meta:
        db_table = "pgq_leases"
        default_permissions = ()


class Lock(ReadOnlyModelBase):
    """A unique key held by a live job."""

    pk = models.CompositePrimaryKey("entrypoint", "unique_key")
    entrypoint = models.TextField()
    unique_key = models.TextField()
    job_id = models.BigIntegerField()
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "pgq_locks"
        default_permissions = ()


class CancelWish(ReadOnlyModelBase):
    """A running job that somebody wants stopped."""

    job_id = models.BigIntegerField(primary_key=True)
    requested_at = models.DateTimeField()
    reason = models.TextField(null=True)

    class Meta:
        db_table = "pgq_cancels"
        default_permissions = ()


class Edge(ReadOnlyModelBase):
    """A job that waits for another one."""

    pk = models.CompositePrimaryKey("after_id", "job_id")
    after_id = models.BigIntegerField()
    job_id = models.BigIntegerField()

    class Meta:
        db_table = "pgq_edges"
        default_permissions = ()


class Limit(ReadOnlyModelBase):
    """What workers have declared for an entrypoint."""

    entrypoint = models.TextField(primary_key=True)
    concurrency = models.IntegerField(null=True)
    rate = models.IntegerField(null=True)
    period = models.FloatField(null=True)

    class Meta:
        db_table = "pgq_limits"
        default_permissions = ()


class Holder(ReadOnlyModelBase):
    """Who holds a place under a limit or a key."""

    job_id = models.BigIntegerField(primary_key=True)
    entrypoint = models.TextField()
    scope = models.TextField()

    class Meta:
        db_table = "pgq_holders"
        default_permissions = ()


class Rate(ReadOnlyModelBase):
    """When the next start under a rate may happen."""

    pk = models.CompositePrimaryKey("entrypoint", "scope")
    entrypoint = models.TextField()
    scope = models.TextField()
    next_at = models.DateTimeField()

    class Meta:
        db_table = "pgq_rates"
        default_permissions = ()


class Batch(ReadOnlyModelBase):
    """Jobs that belong together."""

    batch_id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField()
    callback_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "pgq_batches"
        default_permissions = ()
