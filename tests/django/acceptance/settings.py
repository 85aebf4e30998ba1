"""Settings for Django's own test cases. PGQ_ACCEPTANCE_LANE=swapped: TASKS is not ours at first."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

import django

_dsn = urlsplit(os.environ["PGQ_TEST_DJANGO_DSN"])
_query = dict(pair.split("=", 1) for pair in _dsn.query.split("&") if pair)

SECRET_KEY = "only for tests"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(_dsn.path.lstrip("/")),
        "USER": unquote(_dsn.username or ""),
        "PASSWORD": unquote(_dsn.password or ""),
        "HOST": unquote(_query.get("host") or _dsn.hostname or ""),
        "PORT": str(_dsn.port or _query.get("port") or ""),
        "TEST": {"NAME": "pgq_acceptance"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "pgq_django"]
if django.VERSION < (6, 0):  # the backport's cases visit views and the admin
    from tests.settings import INSTALLED_APPS as THEIRS
    from tests.settings import MIDDLEWARE, ROOT_URLCONF, STATIC_URL, TEMPLATES  # noqa: F401

    INSTALLED_APPS = [*THEIRS, "pgq_django"]
if os.environ.get("PGQ_ACCEPTANCE_LANE") != "swapped":
    TASKS = {"default": {"BACKEND": "pgq_django.PgqBackend", "QUEUES": []}}
