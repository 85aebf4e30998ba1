"""django-ox, another backend of Django's Tasks."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers.adapters import django_site
from benchmarks.peers.job import payload

TITLE, PACKAGE, JOBS = "django-ox", "django-ox", 1_500
SETTINGS = "`ox_worker --concurrency 4 --interval 0.05`, psycopg pool of 10"
ACKED = "SELECT count(*) FROM django_ox_oxtask WHERE status = 'SUCCESSFUL'"
DEFER = """
INSERT INTO django_ox_oxtask (id, task_path, args, kwargs, queue_name, priority, takes_context,
    backend_name, status, run_after, attempts, max_attempts, errors, worker_ids, enqueued_at,
    lease_epoch)
SELECT gen_random_uuid(), 'benchmarks.peers.adapters.django_tasks.note', '[]', $1::jsonb, 'default',
    0, false, 'default', 'READY', now() + interval '1 day', 0, 3, '[]', '[]', now(), 0
FROM generate_series(1, $2::int)
"""


def _setup(dsn: str, pool: int = 0) -> None:
    django_site.setup(dsn, ["django_ox"], {"BACKEND": "django_ox.backend.OxBackend"}, pool)


class Producer(django_site.Producer):
    """`enqueue`, and django-ox's `enqueue_many`."""

    def many(self, numbers: Iterable[int]) -> None:
        """One transaction, few statements."""
        from django_ox.bulk import enqueue_many

        enqueue_many(self.note, [((), payload(number)) for number in numbers])


prepare, producer = django_site.verbs(_setup, Producer)


def work(dsn: str) -> None:
    """One worker, until killed."""
    _setup(dsn, 10)
    django_site.command("ox_worker", "--concurrency", "4", "--interval", "0.05", "-v", "0")
