"""django-tasks-db, the database backend that grew beside Django's Tasks."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers.adapters import django_site

TITLE, PACKAGE, JOBS = "django-tasks-db", "django-tasks-db", 500
SETTINGS = "`db_worker --interval 0.05 --no-startup-delay`, persistent connections"
ACKED = "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status = 'SUCCESSFUL'"
DEFER = """
INSERT INTO django_tasks_database_dbtaskresult (id, status, enqueued_at, args_kwargs, priority, task_path,
    worker_ids, queue_name, backend_name, run_after, exception_class_path, traceback)
SELECT gen_random_uuid(), 'READY', now(), jsonb_build_object('args', '[]'::jsonb, 'kwargs', $1::jsonb),
    0, 'benchmarks.peers.adapters.django_tasks.note', '[]', 'default', 'default',
    now() + interval '1 day', '', ''
FROM generate_series(1, $2::int)
"""


def _setup(dsn: str) -> None:
    backend = {"BACKEND": "django_tasks_db.DatabaseBackend"}
    django_site.setup(dsn, ["django_tasks_db"], backend, 0)


class Producer(django_site.Producer):
    """`enqueue`; there is no bulk call, so many are one transaction."""

    def many(self, numbers: Iterable[int]) -> None:
        """One transaction, a statement each."""
        from django.db import transaction

        with transaction.atomic():
            for number in numbers:
                self.one(number)


prepare, producer = django_site.verbs(_setup, Producer)


def work(dsn: str) -> None:
    """One worker, until killed."""
    _setup(dsn)
    django_site.command("db_worker", "-v", "0", "--interval", "0.05", "--no-startup-delay")
