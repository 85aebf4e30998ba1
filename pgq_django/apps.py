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
        """Register the system checks, and what `migrate` does where migrations are off."""
        # These need the app registry.
        from django.db.models.signals import pre_migrate  # noqa: PLC0415

        from pgq_django import checks  # noqa: F401, PLC0415
        from pgq_django.install import install_unmigrated  # noqa: PLC0415

        pre_migrate.connect(install_unmigrated, sender=self)
