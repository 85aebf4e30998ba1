"""awa, by its Python package."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "awa", "awa-pg", 10_000
SETTINGS = "pool of 10, `max_workers: 500`, `claim_batch_size: 512`, 1 claimer (2 and 4 are slower here), COPY for bulk"
WHY = {
    "bulk": "a COPY; we write a pointer beside each body",
    "dead": "tables in a ring that are truncated; we keep a body as long as retention says",
    "cpu": "claims and outcomes are handled in Rust",
}
ACKED = """
SELECT (SELECT count(*) FROM awa.done_entries WHERE state = 'completed')
     + (SELECT coalesce(sum(cardinality(job_ids)), 0) FROM awa.receipt_completion_batches)
     + (SELECT coalesce(sum(pruned_completed_count), 0)::bigint FROM awa.queue_terminal_rollups)
"""
DEFER = """
INSERT INTO awa.deferred_jobs (job_id, kind, queue, args, state, priority, run_at)
SELECT -i, 'note', 'default', $1::jsonb, 'scheduled', 2, now() + interval '1 day'
FROM generate_series(1, $2::int) i
"""
NOTE = "keeps finished jobs for some seconds only, until its ring of tables turns"
UVLOOP = False


@dataclass
class Note:
    """The arguments of the job."""

    n: int
    pad: str


async def prepare(dsn: str) -> None:
    """Its migrations, and its queue storage, as its guide recommends for new installations."""
    async with _client(dsn, 2) as client:
        await client.migrate()
        await client.install_queue_storage()


class Producer:
    """`insert` and `enqueue_many_copy`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def one(self, number: int) -> None:
        """One transaction."""
        await self.client.insert(Note(**payload(number)))

    async def many(self, numbers: Iterable[int]) -> None:
        """One COPY."""
        await self.client.enqueue_many_copy([Note(**payload(number)) for number in numbers])


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:
    """On a pool of so many connections."""
    async with _client(dsn, connections) as client:
        yield Producer(client)


@asynccontextmanager
async def _client(dsn: str, connections: int) -> AsyncIterator[Any]:
    from awa import AsyncClient

    client = AsyncClient(dsn, max_connections=connections)
    try:
        yield client
    finally:
        await client.close()


def work(dsn: str) -> None:
    """One worker, until killed."""
    asyncio.run(_work(dsn))


async def _work(dsn: str) -> None:
    async with _client(dsn, 10) as client:

        @client.task(Note, queue="default")
        async def note(job: Any) -> None:
            ran(job.args.n)

        await client.start([{"name": "default", "max_workers": 500, "claim_batch_size": 512}])
        await asyncio.Event().wait()
