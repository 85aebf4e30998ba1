"""Pages of jobs against the plain answer: whatever is asked for, in both directions, none missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from pgq_django.admin import scan, sources
from pgq_django.admin.filters import STATES
from pgq_django.admin.scan import Wanted, find
from pgq_django.models import Job
from tests.django.many import fill
from tests.django.support import empty_tables, scalar

# Some jobs have failed before they succeeded; some have many attempts, one more than a chunk holds.
MORE_ATTEMPTS = """
INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at)
SELECT j, a, CASE WHEN a = n THEN 'succeeded' ELSE 'failed' END, clock_timestamp()
FROM (VALUES (2, 3), (13, 12), (14, 2), (52, 4), (53, 9)) AS t (j, n)
CROSS JOIN generate_series(2, n) AS a
"""


@pytest.fixture(scope="module")
def jobs(django_dsn: str) -> Iterator[list[Job]]:
    """A hundred and twenty jobs in every state but blocked and running, newest first."""
    fill(connection, 1, 120)
    with connection.cursor() as cursor:
        cursor.execute(MORE_ATTEMPTS)
    yield list(Job.objects.order_by("-id"))
    empty_tables()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and pages so small that every edge is met."""
    monkeypatch.setattr(scan, "LONGEST", 25)
    monkeypatch.setattr(scan, "CHUNK", 7)
    monkeypatch.setattr(sources, "FEW", 1)


def walked(wanted: Wanted, *, newer: bool) -> list[int]:
    """Every job that following the links shows, in the order of the walk."""
    seen, start = list[int](), 0 if newer else None
    for _ in range(200):
        found = find("default", wanted, start, 4, newer=newer)
        page = [job.pk for job in found.jobs]
        seen += reversed(page) if newer else page
        start = found.onward
        if start is None:
            return seen
    raise AssertionError("the walk does not end")


COMBINATIONS = list(
    itertools.product([None, *STATES], [None, "lonely"], [None, "even"], [None, 60])
)


@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
def test_nothing_is_missed(jobs: list[Job], newer: bool) -> None:
    """Going from page to page shows each job that matches once, in order, by any filters."""
    now = timezone.now()
    for state, queue, entrypoint, seconds in COMBINATIONS:
        since = None if seconds is None else now - timedelta(seconds=seconds)
        expected = [
            job.pk
            for job in jobs
            if state in (None, job.state)
            and queue in (None, job.queue)
            and entrypoint in (None, job.entrypoint)
            and (since is None or job.created_at >= since)
        ]
        wanted = Wanted(state, queue, entrypoint, since)
        assert walked(wanted, newer=newer) == (expected[::-1] if newer else expected), wanted


def test_few_failures_are_found_at_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few jobs have failed they stand on one page, however far apart they are."""
    monkeypatch.setattr(sources, "FEW", 1000)
    found = find("default", Wanted("failed"), None, 50, newer=False)
    assert [job.pk for job in found.jobs] == [101, 1]
    assert found.onward is None


def test_a_key(jobs: list[Job]) -> None:
    """The live holder of a key stands on the first page; an old one where its turn comes."""
    first = find("default", Wanted(key="key-5"), None, 4, newer=False)
    assert [job.pk for job in first.jobs] == [5]
    assert walked(Wanted(key="key-4"), newer=False) == [4]
    assert scalar(connection, "SELECT count(*) FROM pgq_locks") == 60


def test_what_has_gone_meanwhile(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that has changed its state between two queries is left out."""
    source: Any = sources.Given([job.pk for job in jobs])
    monkeypatch.setattr(scan, "source_of", lambda *_: source)
    ready = walked(Wanted("ready"), newer=False)
    assert ready == [job.pk for job in jobs if job.state == "ready"]
