"""The application."""

from __future__ import annotations

from django.apps import AppConfig


class PgqConfig(AppConfig):
    """`INSTALLED_APPS += ["pgq_django"]`."""

    name = "pgq_django"
    label = "pgq_django"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from pgq_django import checks  # noqa: F401, PLC0415  (needs the app registry)
