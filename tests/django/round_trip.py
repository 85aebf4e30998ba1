"""Everything that goes over Django's connection, once: for whatever driver the alias uses.

As a program it refuses psycopg 3, so that Django takes psycopg2.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta, timezone
from typing import Any


def round_trip(using: str = "default") -> None:
    """Enqueue in every way, run, read results and history."""
    from django.db import transaction

    import pgq_django
    from pgq_core import NewJob
    from pgq_django.models import Attempt, Job
    from pgq_django.testing import run_pending
    from tests.django.shop import tasks

    with transaction.atomic(using=using):
        one = pgq_django.enqueue(tasks.add, args=["ä%s%%", "€"], using=using, headers={"x": "%"})
        later = pgq_django.enqueue(
            tasks.add, args=[1], run_at=datetime.now(timezone.utc) + timedelta(days=1), using=using
        )
        made: list[Any] = pgq_django.enqueue_many(
            [
                NewJob("plain", b"\x00\xff", unique_key="k", timeout=1.5, max_attempts=3),
                NewJob("plain", None, unique_key="k"),
                NewJob("plain", {"a": None}, delay=5, headers={"a": [1]}, concurrency_key="c"),
            ],
            using=using,
        )
    assert [job.fresh for job in made] == [True, False, True]
    assert bytes(Job.objects.using(using).get(pk=made[0].id).payload) == b"\x00\xff"
    assert [(ran.id, ran.outcome) for ran in run_pending(using=using)] == [(one, "succeeded")]
    assert Attempt.objects.using(using).get(job_id=one).result == "ä%s%%€"
    assert [ran.id for ran in run_pending(using=using, now=timedelta(days=2))] == [later]


def contract() -> None:
    """What the Tasks backend says of a result is what it reads back."""
    from pgq_django.testing import run_pending
    from tests.django.shop import tasks

    due = datetime.now(timezone.utc) - timedelta(seconds=1)
    result = tasks.add.using(priority=7, queue_name="q", run_after=due).enqueue(1, b=2)
    assert tasks.add.get_result(result.id) == result
    run_pending()
    result.refresh()
    assert result.return_value == 3


def main() -> None:
    """On psycopg2."""
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    import django
    from django.db import connection

    django.setup()
    round_trip()
    contract()
    connection.ensure_connection()
    assert type(connection.connection).__module__.startswith("psycopg2")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.settings")
    main()
