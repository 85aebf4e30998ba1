"""The tables of the core's version 1, and their models in the state."""

from __future__ import annotations

from django.db import migrations, models

from pgq_django.install import InstallVersion


class Migration(migrations.Migration):
    initial = True

    dependencies = []  # noqa: RUF012

    operations = [  # noqa: RUF012
        migrations.SeparateDatabaseAndState(
            database_operations=[InstallVersion(1)],
            state_operations=[
                migrations.CreateModel(
                    name="Installation",
                    fields=[
                        ("key", models.TextField(primary_key=True, serialize=False)),
                        ("value", models.TextField()),
                    ],
                    options={
                        "db_table": "pgq_meta",
                        "managed": False,
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("queue", models.TextField()),
                        ("entrypoint", models.TextField()),
                        ("priority", models.SmallIntegerField()),
                        ("state", models.TextField()),
                        ("attempt", models.IntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("run_at", models.DateTimeField(null=True)),
                        ("unique_key", models.TextField(null=True)),
                        ("concurrency_key", models.TextField(null=True)),
                        ("headers", models.JSONField(null=True)),
                        ("payload", models.BinaryField(null=True)),
                        ("max_attempts", models.SmallIntegerField(null=True)),
                        ("timeout", models.FloatField(null=True)),
                        ("running_on", models.BigIntegerField(null=True)),
                        ("last_outcome", models.TextField(null=True)),
                        ("last_started_at", models.DateTimeField(null=True)),
                        ("last_finished_at", models.DateTimeField(null=True)),
                        ("last_error", models.JSONField(null=True)),
                        ("last_result", models.JSONField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_job_states",
                        "permissions": (
                            ("retry_job", "Can retry jobs"),
                            ("cancel_job", "Can cancel jobs"),
                            ("run_job", "Can run jobs now"),
                            ("discard_job", "Can discard jobs"),
                        ),
                        "managed": False,
                        "default_permissions": ("view",),
                    },
                ),
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "job_id",
                                "attempt",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("job_id", models.BigIntegerField()),
                        ("attempt", models.IntegerField()),
                        ("outcome", models.TextField()),
                        ("worker_id", models.BigIntegerField(null=True)),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField()),
                        ("error", models.JSONField(null=True)),
                        ("result", models.JSONField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_attempts",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Batch",
                    fields=[
                        ("batch_id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("created_at", models.DateTimeField()),
                        ("callback_id", models.BigIntegerField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_batches",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Blocked",
                    fields=[
                        ("job_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("lane_id", models.BigIntegerField()),
                        ("entrypoint", models.TextField()),
                        ("scope", models.TextField()),
                    ],
                    options={
                        "db_table": "pgq_blocked",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="CancelWish",
                    fields=[
                        ("job_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("requested_at", models.DateTimeField()),
                        ("reason", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_cancels",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Deferred",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "run_at",
                                "job_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("run_at", models.DateTimeField()),
                        ("lane_id", models.BigIntegerField()),
                        ("job_id", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "pgq_deferred",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Edge",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "after_id",
                                "job_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("after_id", models.BigIntegerField()),
                        ("job_id", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "pgq_edges",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Holder",
                    fields=[
                        ("job_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("entrypoint", models.TextField()),
                        ("scope", models.TextField()),
                    ],
                    options={
                        "db_table": "pgq_holders",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="JobBody",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("created_at", models.DateTimeField()),
                        ("run_at", models.DateTimeField(null=True)),
                        ("timeout", models.FloatField(null=True)),
                        ("priority", models.SmallIntegerField(default=5)),
                        ("max_attempts", models.SmallIntegerField(null=True)),
                        ("queue", models.TextField(default="default")),
                        ("entrypoint", models.TextField()),
                        ("unique_key", models.TextField(null=True)),
                        ("concurrency_key", models.TextField(null=True)),
                        ("headers", models.JSONField(null=True)),
                        ("payload", models.BinaryField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_jobs",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Lane",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("lane_id", models.BigIntegerField()),
                        ("priority", models.SmallIntegerField()),
                        ("kind", models.TextField()),
                        ("queue", models.TextField()),
                        ("entrypoint", models.TextField()),
                    ],
                    options={
                        "db_table": "pgq_lanes",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Lease",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "worker_id",
                                "lease_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("worker_id", models.BigIntegerField()),
                        ("lease_id", models.BigIntegerField()),
                        ("claimed_at", models.DateTimeField()),
                    ],
                    options={
                        "db_table": "pgq_leases",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Limit",
                    fields=[
                        ("entrypoint", models.TextField(primary_key=True, serialize=False)),
                        ("concurrency", models.IntegerField(null=True)),
                        ("rate", models.IntegerField(null=True)),
                        ("period", models.FloatField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_limits",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Lock",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "entrypoint",
                                "unique_key",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("entrypoint", models.TextField()),
                        ("unique_key", models.TextField()),
                        ("job_id", models.BigIntegerField()),
                        ("expires_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_locks",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Progress",
                    fields=[
                        ("job_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("attempt", models.IntegerField()),
                        ("fraction", models.FloatField(null=True)),
                        ("message", models.TextField(null=True)),
                        ("updated_at", models.DateTimeField()),
                    ],
                    options={
                        "db_table": "pgq_progress",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "queue",
                                "entrypoint",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("queue", models.TextField()),
                        ("entrypoint", models.TextField(default="")),
                        ("paused_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "db_table": "pgq_queues",
                        "default_permissions": ("view", "change"),
                    },
                ),
                migrations.CreateModel(
                    name="Rate",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "entrypoint",
                                "scope",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("entrypoint", models.TextField()),
                        ("scope", models.TextField()),
                        ("next_at", models.DateTimeField()),
                    ],
                    options={
                        "db_table": "pgq_rates",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Ready",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "lane_id",
                                "position",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("lane_id", models.BigIntegerField()),
                        ("position", models.BigIntegerField()),
                        ("job_id", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "pgq_ready",
                        "default_permissions": (),
                    },
                ),
                migrations.CreateModel(
                    name="Schedule",
                    fields=[
                        ("name", models.TextField(primary_key=True, serialize=False)),
                        ("cron", models.TextField()),
                        ("timezone", models.TextField(default="UTC")),
                        ("catch_up", models.TextField(default="last")),
                        ("entrypoint", models.TextField()),
                        ("queue", models.TextField(default="default")),
                        ("priority", models.SmallIntegerField(default=5)),
                        ("payload", models.BinaryField(null=True)),
                        ("headers", models.JSONField(null=True)),
                        ("jitter", models.FloatField(default=0.0)),
                        ("paused_at", models.DateTimeField(null=True)),
                        ("next_at", models.DateTimeField(null=True)),
                        ("last_at", models.DateTimeField(null=True)),
                        ("origin", models.TextField(default="code")),
                    ],
                    options={
                        "db_table": "pgq_schedules",
                    },
                ),
                migrations.CreateModel(
                    name="Worker",
                    fields=[
                        ("worker_id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("name", models.TextField()),
                        ("started_at", models.DateTimeField()),
                        ("beat_at", models.DateTimeField()),
                        ("lease_seconds", models.FloatField()),
                        ("stalled_seconds", models.FloatField()),
                        ("running", models.IntegerField()),
                        ("listener", models.TextField()),
                        ("info", models.JSONField()),
                    ],
                    options={
                        "db_table": "pgq_workers",
                        "default_permissions": ("view",),
                    },
                ),
            ],
        ),
    ]
