"""What pages of Django's admin cost with millions of jobs: `python -m benchmarks.admin_paging`."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from pgq_core.embedded import EmbeddedServer

SERVER = {"fsync": "off", "max_wal_size": "8GB", "maintenance_work_mem": "256MB"}
SLICE = 1_000_000
TIMES = 5
JOBS = "/admin/pgq_django/job/"


def pages(jobs: int) -> dict[str, dict[str, Any]]:
    """What is asked for, by name."""
    return {
        "first page": {},
        "a page in the middle": {"before": jobs // 2},
        "the last page": {"before": 60},
        "ready, first page": {"state": "ready"},
        "ready, in the middle": {"state": "ready", "before": jobs // 2},
        "failed, first page": {"state": "failed"},
        "succeeded, in the middle": {"state": "succeeded", "before": jobs // 2},
        "one task": {"entrypoint": "even"},
        "by id": {"q": str(jobs // 3)},
        "by the key of a live job": {"q": "key-8"},
        "by the key of an old job": {"q": "key-3"},
        "overview": {"overview": True},
    }


def prepare(dsn: str, jobs: int) -> Any:
    """Migrate, fill; a client that is logged in."""
    os.environ["PGQ_TEST_DJANGO_DSN"] = dsn
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from tests.django.many import fill

    call_command("migrate", verbosity=0)
    started = time.monotonic()
    for first in range(1, jobs + 1, SLICE):
        fill(connection, first, min(jobs, first + SLICE - 1))
        print(f"{first + SLICE - 1:,} after {time.monotonic() - started:.0f} s", flush=True)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def measure(client: Any, params: dict[str, Any]) -> tuple[float, float, int]:
    """The least time of a page and of its queries in milliseconds, and the blocks these touch."""
    from tests.django.blocks import cost

    params = dict(params)
    address = JOBS + ("overview/" if params.pop("overview", False) else "")
    costs = [cost(client, address, **params) for _ in range(TIMES)]
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        assert client.get(address, params).status_code == 200
        taken.append((time.perf_counter() - started) * 1000)
    return min(taken), min(one.milliseconds for one in costs), costs[-1].blocks


def main() -> None:
    """Fill once, measure each page, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    jobs = parser.parse_args().jobs
    with EmbeddedServer(settings=SERVER) as server:
        client = prepare(server.dsn(), jobs)
        print(f"\n| {jobs:,} jobs | page, ms | its queries, ms | blocks |\n|---|---|---|---|")
        for name, params in pages(jobs).items():
            page, queries, blocks = measure(client, params)
            print(f"| {name} | {page:.0f} | {queries:.1f} | {blocks:,} |", flush=True)


if __name__ == "__main__":
    main()
