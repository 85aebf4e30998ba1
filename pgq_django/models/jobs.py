"""Jobs and what became of them."""

# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models

from pgq_django.guard import ReadOnlyModelBase


class Job(ReadOnlyModelBase):
    """One job with where it stands: body, pointer, lease and last attempt in one row."""

    id = models.BigIntegerField(primary_key=True)
    queue = models.TextField()
    entrypoint = models.TextField()
    priority = models.SmallIntegerField()
    state = models.TextField()
    attempt = models.IntegerField()
    created_at = models.DateTimeField()
    run_at = models.DateTimeField(null=True)
    unique_key = models.TextField(null=True)
    concurrency_key = models.TextField(null=True)
    headers = models.JSONField(null=True)
    payload = models.BinaryField(null=True)
    max_attempts = models.SmallIntegerField(null=True)
    timeout = models.FloatField(null=True)
    running_on = models.BigIntegerField(null=True)
    last_outcome = models.TextField(null=True)
    last_started_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    last_error = models.JSONField(null=True)
    last_result = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "pgq_job_states"
        default_permissions = ("view",)
        permissions = (
            ("retry_job", "Can retry jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("run_job", "Can run jobs now"),
            ("discard_job", "Can discard jobs"),
        )

    def __str__(self) -> str:
        return f"{self.entrypoint} {self.pk}"


class JobBody(ReadOnlyModelBase):
    """The body of a job: written once, never updated."""

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField()
    run_at = models.DateTimeField(null=True)
    timeout = models.FloatField(null=True)
    priority = models.SmallIntegerField(default=5)
    max_attempts = models.SmallIntegerField(null=True)
    queue = models.TextField(default="default")
    entrypoint = models.TextField()
    unique_key = models.TextField(null=True)
    concurrency_key = models.TextField(null=True)
    headers = models.JSONField(null=True)
    payload = models.BinaryField(null=True)

    class Meta:
        db_table = "pgq_jobs"
        default_permissions = ()


class Attempt(ReadOnlyModelBase):
    """What one start of a job decided."""

    pk = models.CompositePrimaryKey("job_id", "attempt")
    job_id = models.BigIntegerField()
    attempt = models.IntegerField()
    outcome = models.TextField()
    worker_id = models.BigIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField()
    error = models.JSONField(null=True)
    result = models.JSONField(null=True)

    class Meta:
        db_table = "pgq_attempts"
        default_permissions = ()


class Progress(ReadOnlyModelBase):
    """What a running job says of itself."""

    job_id = models.BigIntegerField(primary_key=True)
    attempt = models.IntegerField()
    fraction = models.FloatField(null=True)
    message = models.TextField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "pgq_progress"
        default_permissions = ()
