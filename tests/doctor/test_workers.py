"""What the doctor says of workers, and of jobs that nobody runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg

from pgq_core import Job, JobState, PgQueuer
from pgq_core.doctor import Severity, examine, exit_code
from pgq_core.queries import Queries
from tests.doctor.conftest import Find
from tests.support import eventually

Healthy = Callable[..., Awaitable[bool]]


async def test_a_healthy_queue(healthy: Healthy, queries: Queries, worker: int) -> None:
    """Of a queue that works the doctor finds nothing."""
    await queries.enqueue("served")
    await queries.enqueue("served", run_at=None, priorities=1, unique_keys="k")
    assert await healthy()


async def test_no_worker(find: Find, queries: Queries) -> None:
    """Jobs wait and no worker is alive: the doctor says so once, with the command to start one."""
    await queries.enqueue(["a", "b"])
    finding = await find("no_worker")
    assert finding.severity is Severity.ERROR
    assert finding.facts["entrypoints"] == ["a", "b"]
    assert "pgq-core worker" in finding.mend


async def test_lanes_that_nobody_serves(find: Find, queries: Queries, worker: int) -> None:
    """Jobs whose queue and entrypoint no live worker serves are named."""
    await queries.enqueue(["served", "renamed"], queues=["default", "mail"])
    finding = await find("unserved")
    assert finding.severity is Severity.ERROR
    assert (finding.facts["entrypoint"], finding.facts["waiting"]) == ("renamed", 1)
    assert "--queues mail" in finding.mend


async def test_a_worker_for_other_queues(
    find: Find, queries: Queries, conn: asyncpg.Connection[Any], worker: int
) -> None:
    """A worker that knows the entrypoint but not the queue does not serve the job."""
    await conn.execute('UPDATE pgq_workers SET info = info || \'{"queues": ["mail"]}\'')
    await queries.enqueue("served", queues="default")
    assert (await find("unserved")).facts["queue"] == "default"


async def test_paused(find: Find, healthy: Healthy, queries: Queries, worker: int) -> None:
    """Jobs behind a pause are mentioned, with the command that resumes them."""
    await queries.pause("default", "served")
    assert await healthy()
    await queries.enqueue("served")
    finding = await find("paused")
    assert finding.severity is Severity.INFO
    assert finding.mend == "pgq-core resume default --entrypoint served"


async def test_an_entrypoint_paused_everywhere(
    find: Find, queries: Queries, conn: asyncpg.Connection[Any], worker: int
) -> None:
    """An entrypoint paused in every queue is mentioned as well, and not called overdue."""
    await queries.pause(entrypoint="served")
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, created_at) VALUES ('served', now() - interval '1 hour')"
    )
    finding = await find("paused")
    assert finding.mend == "pgq-core resume --entrypoint served"
    assert "served in every queue" in finding.what
    assert not [f for f in await examine(queries) if f.name == "overdue"]


async def test_jobs_far_past_due(find: Find, conn: asyncpg.Connection[Any], worker: int) -> None:
    """A job that should have started long ago is named, with its age."""
    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, created_at) VALUES ('served', now() - interval '1 hour')"
    )
    finding = await find("overdue")
    assert finding.severity is Severity.WARNING
    assert "due for 60 min" in finding.what


async def test_a_job_put_back_is_not_past_due(
    queries: Queries, conn: asyncpg.Connection[Any], worker: int
) -> None:
    """An old job that is retried now is not called overdue."""
    [job] = await queries.enqueue("served")
    await queries.cancel([job])
    await conn.execute("UPDATE pgq_jobs SET created_at = now() - interval '1 day'")
    await queries.retry([job])
    assert not [f for f in await examine(queries) if f.name == "overdue"]


async def test_deferred_jobs_far_past_due(
    find: Find, queries: Queries, conn: asyncpg.Connection[Any], worker: int
) -> None:
    """So is a deferred job whose time has come and that nobody has promoted."""
    [job] = await queries.enqueue("served", run_at=timedelta(minutes=5))
    await conn.execute("UPDATE pgq_deferred SET run_at = now() - interval '2 hours'")
    finding = await find("overdue", overdue_seconds=3600)
    assert finding.facts["job_id"] == job


async def test_a_worker_that_stopped_beating(
    find: Find, healthy: Healthy, queries: Queries, conn: asyncpg.Connection[Any], worker: int
) -> None:
    """A worker without a beat for its lease time is named; the command takes its jobs back."""
    [job] = await queries.enqueue("served")
    await take(conn, worker, job)
    await conn.execute("UPDATE pgq_workers SET beat_at = now() - interval '2 hours'")
    finding = await find("worker_silent")
    assert finding.severity is Severity.ERROR
    assert "has not beaten for 2 h" in finding.what
    await conn.execute(finding.mend.partition("by hand: ")[2])
    assert (await queries.get_job(job)).state is JobState.READY
    assert not [f for f in await examine(queries) if f.name == "worker_silent"]


async def test_leases_without_a_worker(
    find: Find, queries: Queries, conn: asyncpg.Connection[Any]
) -> None:
    """Jobs leased to a worker that does not exist are named; the command given frees them."""
    [job] = await queries.enqueue("served")
    await take(conn, 99, job)
    finding = await find("orphaned_lease")
    assert finding.facts["jobs"] == 1
    await conn.execute(finding.mend.partition("at once: ")[2])
    assert (await queries.get_job(job)).state is JobState.READY


async def test_a_deaf_worker(find: Find, conn: asyncpg.Connection[Any], worker: int) -> None:
    """A worker that hears no notifications where it should is named, with what to look at."""
    await conn.execute("UPDATE pgq_workers SET listener = 'deaf'")
    finding = await find("worker_deaf")
    assert "--listen-dsn" in finding.mend
    assert exit_code([finding]) == 1


async def test_a_polling_worker(find: Find, conn: asyncpg.Connection[Any], worker: int) -> None:
    """A worker behind a pooler is named, with the option for a direct line; nothing is wrong."""
    await conn.execute("UPDATE pgq_workers SET listener = 'polling'")
    finding = await find("worker_polling")
    assert "--listen-dsn" in finding.mend
    assert exit_code([finding]) == 0


async def test_a_blocked_loop(database: str, queries: Queries) -> None:
    """A worker whose event loop is blocked by a handler is named while it lives."""
    over = threading.Event()

    async def work() -> None:
        async with PgQueuer.connect(database) as pgq:

            @pgq.entrypoint("blocks")
            async def blocks(job: Job) -> None:
                over.wait(30)

            await pgq.enqueue("blocks")
            await pgq.run(max_jobs=1, lease=1.5, listen=False)

    async def stalled() -> Any:
        return [f for f in await examine(queries) if f.name == "worker_stalled"]

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        [finding] = await eventually(stalled, what="the doctor sees the blocked loop")
        assert "asyncio.to_thread" in finding.mend
    finally:
        over.set()
        await asyncio.to_thread(thread.join)


async def take(conn: asyncpg.Connection[Any], worker: int, job: int) -> None:
    """Lease a job to a worker, as a claim does."""
    await conn.execute("DELETE FROM pgq_ready WHERE job_id = $1", job)
    await conn.execute(
        """INSERT INTO pgq_leases (worker_id, lease_id, token, claimed_at, job_ids, attempts, spent,
        crashes, caps) VALUES ($1, 1, 1, now(), ARRAY[$2::bigint], '{1}', '{0}', '{0}', '{5}')""",
        worker, job,
    )  # fmt: skip
