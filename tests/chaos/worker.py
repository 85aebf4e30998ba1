"""A worker whose handlers tell the oracle; some fail, some are plain functions."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time

import asyncpg

from pgq_core import Job, PgQueuer
from pgq_core.db import DISCONNECTED
from pgq_core.errors import PgqError
from tests.chaos.oracle import Log


def register(pgq: PgQueuer, log: Log) -> None:
    """Four kinds of handler."""
    pid = os.getpid()

    @pgq.entrypoint("quick")
    async def quick(job: Job) -> None:
        log.note("start", job.id, job.attempt, pid)
        log.note("stop", job.id, job.attempt, pid)

    @pgq.entrypoint("slow")
    async def slow(job: Job) -> None:
        log.note("start", job.id, job.attempt, pid)
        try:
            await asyncio.sleep(random.uniform(0, 0.2))
        finally:
            log.note("stop", job.id, job.attempt, pid)

    @pgq.entrypoint("plain")
    def plain(job: Job) -> None:
        log.note("start", job.id, job.attempt, pid)
        time.sleep(random.uniform(0, 0.02))
        log.note("stop", job.id, job.attempt, pid)

    @pgq.entrypoint("flaky", max_attempts=50, backoff=0.05)
    async def flaky(job: Job) -> None:
        log.note("start", job.id, job.attempt, pid)
        log.note("stop", job.id, job.attempt, pid)
        if random.random() < 0.3:
            raise RuntimeError("now and then")


async def main(dsn: str, path: str, lease: float) -> None:
    """Work until SIGTERM; start again when the database is not there yet."""
    log = Log(path)
    while True:
        try:
            async with PgQueuer.connect(dsn) as pgq:
                register(pgq, log)
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.stop)
                await pgq.run(concurrency=20, lease=lease, shutdown_timeout=5)
                return
        except (PgqError, *DISCONNECTED, asyncpg.PostgresError) as error:
            log.note("restarted", 0, type(error).__name__)
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("CHAOS_LOG", "ERROR"))
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
