"""Settings: the database that PGQ_DSN names."""

import os

from psycopg.conninfo import conninfo_to_dict

SECRET_KEY = "this is only an example"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "office.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["pgq_django", "office"]

given = conninfo_to_dict(os.environ["PGQ_DSN"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": given["dbname"],
        **{
            name.upper(): str(given.get(name) or "")
            for name in ("host", "port", "user", "password")
        },
    }
}
TASKS = {
    "default": {
        "BACKEND": "pgq_django.PgqBackend",
        "QUEUES": ["letters"],
        "OPTIONS": {"max_attempts": 10},
    }
}
