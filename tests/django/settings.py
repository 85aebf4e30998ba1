"""Settings of the tests. The database is known when the server has started: see `point_at`."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.django.urls"
STATIC_URL = "static/"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "pgq_django",
    "tests.django.shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
TASKS: dict[str, dict[str, Any]] = {"default": {"BACKEND": "pgq_django.PgqBackend", "QUEUES": []}}
if "PGQ_TEST_SPANS" in os.environ:
    TASKS["default"]["OPTIONS"] = {"tracing": True}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")


def database(dsn: str) -> dict[str, Any]:
    """A DSN as an entry of DATABASES."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    host, port = query.pop("host", None), query.pop("port", None)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host or parts.hostname or "",
        "PORT": str(port or parts.port or ""),
        "OPTIONS": query,
    }


DATABASES = {"default": database(os.environ.get("PGQ_TEST_DJANGO_DSN", "postgresql:///nowhere"))}
if "PGQ_TEST_DJANGO_OTHER" in os.environ:
    DATABASES["other"] = database(os.environ["PGQ_TEST_DJANGO_OTHER"])


def point_at(dsn: str) -> None:
    """Use this database in this process, and in those it starts."""
    from django.conf import settings
    from django.db import connections

    os.environ["PGQ_TEST_DJANGO_DSN"] = dsn
    settings.DATABASES["default"].update(database(dsn))
    connections["default"].settings_dict.update(database(dsn))
