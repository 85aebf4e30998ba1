"""procrastinate, on psycopg's pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "procrastinate", "procrastinate", 2_000
SETTINGS = "psycopg pool of 20, `concurrency=30`, LISTEN on, jobs kept, uvloop"
ACKED = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
DEFER = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT 'default', 'note', $1::jsonb, now() + interval '1 day' FROM generate_series(1, $2::int)
"""


def _app(dsn: str, connections: int) -> tuple[Any, Any]:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=connections))

    @app.task(name="note")
    async def note(n: int, pad: str) -> None:  # noqa: ARG001
        ran(n)

    return app, note


async def prepare(dsn: str) -> None:
    """Its schema."""
    app, _ = _app(dsn, 1)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


class Producer:
    """`defer_async` and `batch_defer_async`."""

    def __init__(self, task: Any) -> None:
        self.task = task

    async def one(self, number: int) -> None:
        """One transaction."""
        await self.task.defer_async(**payload(number))

    async def many(self, numbers: Iterable[int]) -> None:
        """One statement."""
        await self.task.batch_defer_async(*map(payload, numbers))


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:
    """On a pool of so many connections."""
    app, task = _app(dsn, connections)
    async with app.open_async():
        yield Producer(task)


def work(dsn: str) -> None:
    """One worker, until killed."""
    import uvloop

    uvloop.run(_work(dsn))


async def _work(dsn: str) -> None:
    app, _ = _app(dsn, 20)
    async with app.open_async():
        await app.run_worker_async(concurrency=30, listen_notify=True)
