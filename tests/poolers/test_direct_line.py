"""`listen_dsn=`, session mode and poll-only mode: what is heard, what is locked, who rescues."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgq_core import Job, PgQueuer
from pgq_core.cli.watching import find_problems
from tests.poolers.bouncer import Bouncer
from tests.poolers.workers import Victim, working
from tests.support import eventually

MINE = """
from pgq_core import PgQueuer
pgq = PgQueuer()
pgq.entrypoint("work")(print)
"""
LISTENING = "SELECT listener = 'listening' FROM pgq_workers"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
IDLE = "SELECT last_value >> 20 > extract(EPOCH FROM clock_timestamp()) * 1000 FROM pgq_idle"
WOKEN = "SELECT last_value > 0 FROM pgq_woken"


async def assert_wakes(pgq: PgQueuer, conn: asyncpg.Connection[Any]) -> None:
    """An idle worker is woken by an enqueue."""
    await eventually(lambda: conn.fetchval(IDLE), what="a worker says it is idle")
    await pgq.enqueue("work")
    await eventually(lambda: conn.fetchval(WOKEN), what="the notification has arrived")


async def test_a_direct_line_beside_the_pooler(
    pooled: str, database: str, conn: asyncpg.Connection[Any]
) -> None:
    """With `listen_dsn=` a worker behind a pooler hears notifications and holds its lock."""
    async with PgQueuer.connect(pooled) as pgq:
        pgq.entrypoint("work")(lambda job: None)
        async with working(pgq, listen_dsn=database):
            await eventually(lambda: conn.fetchval(LISTENING), what="the worker listens")
            assert await conn.fetchval(LOCKS) == 1
            await assert_wakes(pgq, conn)


async def test_session_mode(pgbouncer: str, server_dsn: str, database: str, connect: Any) -> None:
    """Behind a pooler in session mode notifications arrive, and workers use them."""
    bouncer = Bouncer(pgbouncer, server_dsn, "session", size=20)
    try:
        conn = await connect()
        async with PgQueuer.connect(bouncer.dsn(database)) as pgq:
            pgq.entrypoint("work")(lambda job: None)
            async with working(pgq):
                await eventually(lambda: conn.fetchval(LISTENING), what="the worker listens")
                await assert_wakes(pgq, conn)
    finally:
        bouncer.stop()


async def test_poll_only(database: str, conn: asyncpg.Connection[Any]) -> None:
    """With `listen=False` a worker neither listens nor locks, and finds its jobs by polling."""
    done = asyncio.Event()
    async with PgQueuer.connect(database) as pgq:

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            done.set()

        async with working(pgq, listen=False):
            assert (await pgq.queries.workers())[0]["listener"] == "off"
            assert find_problems(await pgq.queries.health(), 300, None) == []
            assert await conn.fetchval("SELECT locked_at IS NULL FROM pgq_workers")
            assert await conn.fetchval(LOCKS) == 0
            await pgq.enqueue("work")
            await asyncio.wait_for(done.wait(), 10)
        assert await conn.fetchval("SELECT last_value FROM pgq_idle") == 0


@pytest.mark.parametrize(
    ("direct", "lease", "limit"),
    [(False, 1.5, 12.0), (True, 120.0, 20.0)],
    ids=["by the missing beat", "by the free lock"],
)
async def test_a_killed_worker(
    pooled: str, database: str, direct: bool, lease: float, limit: float
) -> None:
    """A killed worker's jobs are rescued within its lease; at once where it had a direct line."""
    restarted = asyncio.Event()
    async with PgQueuer.connect(pooled) as pgq:

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            assert job.attempt == 2
            restarted.set()

        await pgq.enqueue("work")
        victim = Victim(pooled, lease=lease, listen_dsn=database if direct else None)
        await victim.started()
        async with working(pgq, lease=lease):
            victim.kill()
            killed = time.monotonic()
            await asyncio.wait_for(restarted.wait(), 30)
            assert time.monotonic() - killed < limit


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_command_line(pooled: str, database: str, tmp_path: Path, processes: str) -> None:
    """`pgq-core worker --listen-dsn` gives every worker process its direct line."""
    (tmp_path / "mine.py").write_text(MINE)
    command = [sys.executable, "-m", "pgq_core", "worker", "mine:pgq", "--dsn", pooled]
    options = ["--listen-dsn", database, "--until-empty", "--processes", processes]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"worker \d+ started: ", done.stderr)) == int(processes)
    assert "notifications do not arrive" not in done.stderr
