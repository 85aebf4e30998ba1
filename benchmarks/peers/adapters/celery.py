"""Celery on Redis: no database, so no transaction that an enqueue could belong to."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.job import payload, ran

TITLE, PACKAGE, JOBS = "Celery on Redis", "celery", 6_000
SETTINGS = (
    "`worker_prefetch_multiplier=128`, `task_acks_late`, `-P threads -c 4`, results off, no gossip, "
    "mingle or heartbeat; Redis with `appendonly yes`, `appendfsync everysec`"
)
SERVER = "redis"
LACKS = dict.fromkeys(("wal", "dead", "tx", "quiet"), "no database, so nothing of the kind")
WHY = {
    "idle": "Redis pushes from memory; nothing waits for a disk",
    "ten": "Redis pushes from memory; nothing waits for a disk",
    "load": "a lower rate, and nothing waits for a disk",
}
NOTE = (
    "acknowledged in Redis, not in a database: no transaction with the application's data, and up "
    "to a second of accepted jobs is lost with the machine"
)


def _app(dsn: str) -> tuple[Any, Any]:
    from celery import Celery

    app = Celery("peers", broker=dsn)
    app.conf.update(
        task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=128,
        worker_disable_rate_limits=True, broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False, broker_pool_limit=32,
    )  # fmt: skip

    @app.task(name="note")
    def note(n: int, pad: str) -> None:  # noqa: ARG001
        ran(n)

    return app, note


async def prepare(dsn: str) -> None:
    """Redis needs nothing."""


class Producer:
    """`apply_async`; a loop over it for many, there is no bulk call."""

    def __init__(self, app: Any, task: Any) -> None:
        self.app, self.task, self.threads = app, task, threading.local()

    def one(self, number: int) -> None:
        """One message."""
        self.task.apply_async(kwargs=payload(number), producer=self._producer())

    def many(self, numbers: Iterable[int]) -> None:
        """One message each, on one connection."""
        for number in numbers:
            self.one(number)

    def _producer(self) -> Any:
        if not hasattr(self.threads, "producer"):
            self.threads.producer = self.app.amqp.Producer(self.app.connection())
        return self.threads.producer


@asynccontextmanager
async def producer(dsn: str, connections: int) -> AsyncIterator[Producer]:  # noqa: ARG001
    """Each thread has a connection."""
    yield Producer(*_app(dsn))


def work(dsn: str) -> None:
    """One worker, until killed."""
    app, _ = _app(dsn)
    app.worker_main([
        "worker", "-P", "threads", "-c", "4", "-l", "ERROR", "--without-gossip", "--without-mingle",
        "--without-heartbeat",
    ])  # fmt: skip
