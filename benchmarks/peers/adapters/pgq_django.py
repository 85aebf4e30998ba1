"""pgq as a backend of Django's Tasks."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers.adapters import django_site, pgq
from benchmarks.peers.job import payload

TITLE, PACKAGE, JOBS = "pgq, Django", "pgq-suite", 8_000
SETTINGS = "`pgq_worker --concurrency 100 --threads 4`, persistent connections"
ACKED, DEFER = (
    pgq.ACKED,
    pgq.DEFER.replace("'note'", "'benchmarks.peers.adapters.django_tasks.note'"),
)


def _setup(dsn: str) -> None:
    django_site.setup(dsn, ["pgq_django"], {"BACKEND": "pgq_django.PgqBackend"}, 0)


class Producer(django_site.Producer):
    """`enqueue`, and pgq_django's `enqueue_many`."""

    def many(self, numbers: Iterable[int]) -> None:
        """One statement."""
        import pgq_django

        jobs = [pgq_django.job(self.note, kwargs=payload(number)) for number in numbers]
        pgq_django.enqueue_many(jobs)


prepare, producer = django_site.verbs(_setup, Producer)


def work(dsn: str) -> None:
    """One worker, until killed."""
    _setup(dsn)
    from benchmarks.peers.adapters import django_tasks  # noqa: F401

    django_site.command("pgq_worker", "--concurrency", "100", "--threads", "4")
