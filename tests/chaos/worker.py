"""A worker process of the chaos: `python -m tests.chaos.worker DSN LOG LEASE RELEASE`."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import resource
import signal
import sys

from pgq_core import PgQueuer
from pgq_core.errors import SchemaNewer
from pgq_core.options import WorkerOptions
from pgq_core.worker import Worker
from tests.chaos.handlers import register
from tests.chaos.oracle import Log
from tests.chaos.release import NEXT, OUTDATED, become_next


async def work(pgq: PgQueuer, log: Log, lease: float) -> None:
    """Until SIGTERM."""
    worker = pgq.worker(WorkerOptions(concurrency=20, lease=lease, shutdown_timeout=5))
    register(pgq, log, lease, lambda: worker.crew.worker_id)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.stop)
    announced = asyncio.ensure_future(announce(worker, log))
    try:
        await pgq.run_worker(worker)
    finally:
        announced.cancel()


async def announce(worker: Worker, log: Log) -> None:
    """Say so once the worker has begun."""
    while not hasattr(worker, "crew"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    log.up()


async def main(dsn: str, path: str, lease: float, release: int) -> None:
    """Work until SIGTERM; start again when the database is not there yet. One that has begun never
    gives up: if it does, the oracle hears of it."""
    log = Log(path)
    if release == NEXT:
        become_next()
    while True:
        try:
            async with PgQueuer.connect(dsn) as pgq:
                if release == NEXT:
                    await pgq.queries.initialize()
                await work(pgq, log, lease)
                return
        except Exception as error:
            if log.is_up:
                log.note("gave-up", 0, type(error).__name__)
                raise
            if isinstance(error, SchemaNewer):
                sys.exit(OUTDATED)  # whoever takes this seat next is of the next release
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    faulthandler.disable()  # a handler that crashes means to
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(level=os.environ.get("CHAOS_LOG", "CRITICAL"))
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
