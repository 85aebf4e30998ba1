"""The stand everything is measured on: one server, fresh schemas, processes of their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from pgq_core import NewJob, PgQueuer
from pgq_core.db import AsyncpgDriver
from pgq_core.queries import Queries

PAYLOAD = b"x" * 200
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "max_connections": "200",
}
WARM_UP = 1.5
"""Seconds until sessions have their plans, and a worker beside them its pace."""
_numbers = itertools.count(1)


@dataclass
class Stand:
    """Where to measure, how long, and how often."""

    dsn: str
    long: bool = False
    rounds: int = 3
    notes: list[str] = field(default_factory=list)

    def size(self, short: int, long: int) -> int:
        """A number of jobs."""
        return long if self.long else short

    async def connect(self, **options: Any) -> Any:
        """A plain connection."""
        return await asyncpg.connect(self.dsn, **options)

    @asynccontextmanager
    async def queue(self, **options: Any) -> AsyncIterator[PgQueuer]:
        """A PgQueuer in a fresh schema, dropped afterwards."""
        schema = f"bench_{os.getpid()}_{next(_numbers)}"
        async with PgQueuer.connect(self.dsn, schema=schema, **options) as pgq:
            await pgq.queries.initialize()
            try:
                yield pgq
            finally:
                await pgq.queries.driver.execute(f'DROP SCHEMA "{schema}" CASCADE')

    @asynccontextmanager
    async def worker(
        self, schema: str, **options: Any
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker process on that schema, ready when this returns."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.worker", self.dsn, schema, json.dumps(options),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()


async def fill(pgq: PgQueuer, count: int, entrypoint: str = "noop", **fields: Any) -> None:
    """Enqueue that many jobs of 200 bytes."""
    for start in range(0, count, 20_000):
        size = min(20_000, count - start)
        jobs = [NewJob(entrypoint, PAYLOAD, **fields)] * size
        await pgq.enqueue_many(jobs, check=False)


async def steady(calls: Sequence[Callable[[], Awaitable[Any]]], seconds: float) -> float:
    """How many calls end per second, each made again and again, once they are warm."""
    begin, done = time.perf_counter() + WARM_UP, 0

    async def again(call: Callable[[], Awaitable[Any]]) -> None:
        nonlocal done
        while time.perf_counter() < begin + seconds:
            await call()
            done += begin <= time.perf_counter() < begin + seconds

    await asyncio.gather(*[again(call) for call in calls])
    return done / seconds


async def scalar(pgq: PgQueuer, text: str, *args: Any) -> Any:
    """One value; `{s}` stands for the schema."""
    rows = await pgq.queries.driver.fetch(text.replace("{s}", pgq.queries.schema), *args)
    return rows[0][0]


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: list[float]) -> float:
    """The middle one."""
    return percentile(values, 0.5)


async def until(check: Any, timeout: float = 120.0) -> None:
    """Wait for a condition that the database tells."""
    end = time.monotonic() + timeout
    while not await check():
        if time.monotonic() > end:
            raise TimeoutError("the measurement did not come to its end")
        await asyncio.sleep(0.002)


def on(connection: Any, schema: str) -> Queries:
    """The verbs on one connection."""
    return Queries(AsyncpgDriver(connection), schema)
