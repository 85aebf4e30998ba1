"""The admin stays fast with any number of jobs: a page's blocks are counted, and bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.django.blocks import cost
from tests.django.many import fill
from tests.django.support import empty_tables

JOBS = "/admin/pgq_django/job/"
MANY = 60_000
PAGE, LONG = 2_000, 25_000  # blocks: of an ordinary page, and of one that looks at 20,000 rows

PAGES: dict[str, tuple[dict[str, Any], int]] = {
    "first": ({}, PAGE),
    "deep": ({"before": 60}, PAGE),
    "back from deep": ({"after": 60}, PAGE),
    "ready": ({"state": "ready"}, PAGE),
    "ready, deep": ({"state": "ready", "before": 600}, PAGE),
    "deferred": ({"state": "deferred", "before": 600}, PAGE),
    "blocked": ({"state": "blocked"}, PAGE),
    "running": ({"state": "running"}, PAGE),
    "succeeded": ({"state": "succeeded"}, PAGE),
    "succeeded, deep": ({"state": "succeeded", "before": 600}, PAGE),
    "failed": ({"state": "failed"}, LONG),
    "cancelled": ({"state": "cancelled"}, LONG),
    "a task": ({"entrypoint": "even"}, PAGE),
    "a queue of few": ({"queue": "lonely"}, LONG),
    "ready, a queue of few": ({"queue": "lonely", "state": "ready"}, 2 * LONG),
    "young": ({"age": "1h", "state": "deferred"}, PAGE),
    "young, nothing": ({"age": "1h", "queue": "lonely"}, PAGE),
    "by id": ({"q": "77"}, PAGE),
    "by a live key": ({"q": "key-8"}, LONG),
    "by an old key": ({"q": "key-3"}, LONG),
    "overview": ({}, LONG),
}


@pytest.fixture(scope="module")
def sizes(django_dsn: str) -> Iterator[tuple[dict[str, int], dict[str, int], dict[str, str]]]:
    """Blocks by page with so many jobs and with twice as many; and the pages."""
    client, measured, pages = Client(), list[dict[str, int]](), dict[str, str]()
    client.force_login(User.objects.create_superuser("root"))
    for first, last in ((1, MANY), (MANY + 1, 2 * MANY)):
        fill(connection, first, last)
        blocks = {}
        for name, (params, _) in PAGES.items():
            found = cost(client, JOBS + ("overview/" if name == "overview" else ""), **params)
            blocks[name], pages[name] = found.blocks, found.page
        measured.append(blocks)
    yield measured[0], measured[1], pages
    empty_tables()


Sizes = tuple[dict[str, int], dict[str, int], dict[str, str]]


def test_blocks(sizes: Sizes) -> None:
    """A page of the admin touches no more blocks when there are twice as many jobs."""
    once, twice, _ = sizes
    too_many = {
        name: (once[name], twice[name])
        for name, (_, limit) in PAGES.items()
        if twice[name] > min(limit, 1.5 * once[name] + 400)
    }
    assert too_many == {}


def ids(page: str) -> list[int]:
    """The jobs a page shows."""
    return [int(n) for n in re.findall(r'value="(\d+)" class="action-select"', page)]


def test_what_they_show(sizes: Sizes) -> None:
    """The pages are right, besides being cheap; one that stopped looking says so and leads on."""
    pages = sizes[2]
    top = 2 * MANY
    assert ids(pages["first"]) == list(range(top, top - 50, -1))
    assert ids(pages["deep"]) == list(range(59, 9, -1))
    assert ids(pages["back from deep"]) == list(range(110, 60, -1))
    ready = [job for job in range(599, 0, -1) if job % 10 in (5, 6, 7, 8)]
    assert ids(pages["ready, deep"]) == ready[:50]
    assert ids(pages["failed"])[:3] == [top - 99, top - 199, top - 299]
    assert ids(pages["by a live key"]) == [8]
    assert ids(pages["by id"]) == [77]
    for name in ("a queue of few", "by an old key", "ready, a queue of few"):
        assert ids(pages[name]) == []
        assert "looked at so far" in pages[name]
        assert 'rel="next"' in pages[name]
    assert "looked at" not in pages["young, nothing"]
    assert 'rel="next"' not in pages["young, nothing"]


def test_leading_on_ends(sizes: Sizes) -> None:
    """Following "older" from page to page finds the jobs of a queue of few, and ends."""
    client = Client()
    client.force_login(User.objects.get())
    address, seen, pages = f"{JOBS}?queue=lonely", list[int](), 0
    while address:
        page = client.get(address).content.decode()
        seen += ids(page)
        link = re.search(r'<a href="([^"]+)" rel="next"', page)
        address = f"{JOBS}{link[1]}".replace("&amp;", "&") if link else ""
        pages += 1
    assert seen == list(range(10, 0, -1))
    assert 3 < pages <= 2 * MANY // 20_000
