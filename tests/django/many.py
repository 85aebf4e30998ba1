"""Fill the queue's tables with a history, without its triggers: for tests that count blocks.

As a program it fills the database of PGQ_TEST_DJANGO_DSN: python -m tests.django.many 10000000
"""

from __future__ import annotations

import sys
from typing import Any

LONELY = 10  # the oldest jobs of all are alone in their queue

# Of ten jobs in order of id: five have ended, four wait, one is deferred; one a second.
BODIES = """
INSERT INTO pgq_jobs (id, created_at, queue, entrypoint, unique_key, concurrency_key, payload)
SELECT
    i,
    clock_timestamp() - (%(count)s - i) * interval '1 second',
    CASE WHEN i <= %(lonely)s THEN 'lonely' ELSE 'default' END,
    CASE WHEN i %% 2 = 0 THEN 'even' ELSE 'odd' END,
    'key-' || i,
    CASE WHEN i %% 1000 = 0 THEN 'customer-7' END,
    convert_to('{"args": [1], "kwargs": {}}', 'UTF8')
FROM generate_series(%(first)s, %(count)s) AS i
"""
ATTEMPTS = """
INSERT INTO pgq_attempts (job_id, attempt, outcome, worker_id, started_at, finished_at)
SELECT
    i,
    1,
    CASE WHEN i %% 100 = 1 THEN 'failed' WHEN i %% 10000 = 2 THEN 'cancelled' ELSE 'succeeded' END,
    1,
    clock_timestamp() - (%(count)s - i) * interval '1 second',
    clock_timestamp() - (%(count)s - i) * interval '1 second'
FROM generate_series(%(first)s, %(count)s) AS i
WHERE i %% 10 < 5
"""
READY = """
INSERT INTO pgq_ready (lane_id, position, job_id)
SELECT i %% 2, i, i FROM generate_series(%(first)s, %(count)s) AS i WHERE i %% 10 BETWEEN 5 AND 8
"""
DEFERRED = """
INSERT INTO pgq_deferred (run_at, lane_id, job_id)
SELECT clock_timestamp() + interval '1 day', i %% 2, i
FROM generate_series(%(first)s, %(count)s) AS i
WHERE i %% 10 = 9
"""
LOCKS = """
INSERT INTO pgq_locks (entrypoint, unique_key, job_id)
SELECT j.entrypoint, j.unique_key, j.id
FROM pgq_jobs AS j
WHERE j.id BETWEEN %(first)s AND %(count)s AND j.id %% 10 >= 5
"""
LANES = """
INSERT INTO pgq_lanes (lane_id, priority, queue, entrypoint)
VALUES (0, 5, 'default', 'even'), (1, 5, 'default', 'odd'), (2, 5, 'lonely', 'even')
"""


def fill(connection: Any, first: int, count: int) -> None:
    """Jobs `first` to `count`, with pointers and attempts; statistics are up to date afterwards."""
    values = {"first": first, "count": count, "lonely": LONELY}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE pgq_jobs DISABLE TRIGGER USER")
        try:
            for statement in (BODIES, ATTEMPTS, READY, DEFERRED, LOCKS):
                cursor.execute(statement, values)
        finally:
            cursor.execute("ALTER TABLE pgq_jobs ENABLE TRIGGER USER")
        if first == 1:
            cursor.execute(LANES)
        for table in ("jobs", "attempts", "ready", "deferred", "locks", "lanes"):
            cursor.execute(f"VACUUM (ANALYZE) pgq_{table}")


def main() -> None:
    """Fill in slices."""
    import django

    django.setup()
    from django.db import connection

    total, slice_ = int(sys.argv[1]), 1_000_000
    for first in range(1, total + 1, slice_):
        fill(connection, first, min(total, first + slice_ - 1))


if __name__ == "__main__":
    main()
