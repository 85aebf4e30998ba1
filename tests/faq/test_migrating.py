"""docs/migrating-from-pgqueuer.md: the statement that moves waiting jobs is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pgq_core import JobState, PgQueuer

PAGE = Path(__file__).parents[2] / "docs/migrating-from-pgqueuer.md"

THEIR_TABLE = """
CREATE TYPE pgqueuer_status AS ENUM (
    'queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed'
);
CREATE TABLE pgqueuer (
    id bigserial PRIMARY KEY,
    priority int NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    execute_after timestamptz NOT NULL DEFAULT now(),
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts int NOT NULL DEFAULT 0
);
INSERT INTO pgqueuer (priority, status, entrypoint, payload, dedupe_key, headers, execute_after)
VALUES
    (0, 'queued', 'a', 'normal', NULL, NULL, now()),
    (9, 'queued', 'a', 'urgent', 'key', '{"k": 1}', now()),
    (100000, 'queued', 'a', 'absurd', NULL, NULL, now()),
    (0, 'queued', 'a', 'tomorrow', NULL, NULL, now() + interval '1 day'),
    (0, 'picked', 'a', 'theirs', NULL, NULL, now());
"""


async def test_waiting_jobs_move_in_order(pgq: PgQueuer, conn: Any) -> None:
    """What waits there waits here: larger-first becomes lower-first, due times and keys stay."""
    await conn.execute(THEIR_TABLE)
    (statement,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    await conn.execute(statement)

    jobs = {job.payload: job for job in await pgq.queries.get_jobs()}
    priorities = {payload: job.priority for payload, job in jobs.items()}
    assert priorities == {b"normal": 5, b"urgent": -4, b"absurd": -32768, b"tomorrow": 5}
    assert jobs[b"tomorrow"].state is JobState.DEFERRED
    assert jobs[b"normal"].state is JobState.READY
    assert (jobs[b"urgent"].unique_key, jobs[b"urgent"].headers) == ("key", {"k": 1})
    assert [row["status"] for row in await conn.fetch("SELECT status FROM pgqueuer")] == ["picked"]
