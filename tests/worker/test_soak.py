"""Everything at once, judged by what the handlers themselves wrote down outside the queue."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest

from pgq_core.queries import Queries
from tests.support import eventually
from tests.worker.harness import Connection, Processes

LASTS = 8.0
EVERY = 0.5


@pytest.mark.timeout(120)
async def test_kills_and_failures_lose_nothing(
    processes: Processes, queries: Queries, conn: Connection
) -> None:
    """Processes killed twice a second, one handler in ten failing: nothing lost, nothing twice."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    living = [processes.spawn(concurrency=8) for _ in range(3)]
    await processes.ready(conn, 3)
    ids: list[int] = []
    kills = 0
    end = time.monotonic() + LASTS
    next_kill = time.monotonic() + EVERY
    while time.monotonic() < end:
        ids += await queries.enqueue(["flaky"] * 25)
        if time.monotonic() > next_kill:
            victim = dice.randrange(len(living))
            processes.kill(living[victim])
            living[victim] = processes.spawn(concurrency=8)
            kills += 1
            next_kill += EVERY
        await asyncio.sleep(0.08)
    assert kills > 5

    async def all_done() -> bool:
        left = await conn.fetchval(
            "SELECT count(*) FROM pgq_job_states "
            "WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
        )
        return bool(left == 0)

    await eventually(all_done, patience=60, what=f"everything is done (seed {seed})")

    rows = await conn.fetch("SELECT job_id, attempt, outcome FROM pgq_attempts")
    last = {row["job_id"]: row["outcome"] for row in sorted(rows, key=lambda row: row["attempt"])}
    lost = [id_ for id_ in ids if last.get(id_) != "succeeded"]
    assert lost == [], f"seed {seed}"
    accepted = Counter(row["job_id"] for row in rows if row["outcome"] == "succeeded")
    assert set(accepted.values()) == {1}, f"seed {seed}"
    # What the queue says happened is what the handlers say happened.
    assert processes.log.started_twice() == [], f"seed {seed}"
    started = {(line.job, line.attempt) for line in processes.log.lines("start")}
    ended = {(line.job, line.attempt) for line in processes.log.lines("end")}
    raised = {(line.job, line.attempt) for line in processes.log.lines("raise")}
    said = {
        outcome: {(row["job_id"], row["attempt"]) for row in rows if row["outcome"] == outcome}
        for outcome in ("succeeded", "retry", "lost", "interrupted")
    }
    assert said["succeeded"] <= ended, f"seed {seed}"
    assert said["retry"] <= raised, f"seed {seed}"
    assert started <= {(row["job_id"], row["attempt"]) for row in rows}, f"seed {seed}"
    assert await conn.fetchval("SELECT count(*) FROM pgq_leases") == 0
