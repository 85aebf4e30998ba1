"""A worker process of the stand: `python -m benchmarks.worker DSN SCHEMA OPTIONS`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

from pgq_core import Job, PgQueuer


def register(pgq: PgQueuer, log: int | None) -> None:
    """The handlers: nothing, and one that notes when it started."""

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        pass

    @pgq.entrypoint("note")
    async def note(job: Job) -> None:
        if log is not None:
            os.write(log, f"{job.id} {time.time()}\n".encode())

    @pgq.entrypoint("hold")
    async def hold(job: Job) -> None:
        if log is not None:
            os.write(log, f"{job.id} {time.time()} {os.getpid()}\n".encode())
        await asyncio.sleep(float(job.payload or b"0.05"))


async def main(dsn: str, schema: str, options: dict[str, Any]) -> None:
    """Work until SIGTERM."""
    path = options.pop("log", None)
    log = None if path is None else os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    async with PgQueuer.connect(dsn, schema=schema) as pgq:
        register(pgq, log)
        for name in options.pop("names", []):
            pgq.entrypoint(name)(_noop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.stop)
        running = asyncio.ensure_future(pgq.run(**options))
        workers = "SELECT count(*) FROM {}.pgq_workers WHERE name LIKE $1"
        while not running.done():
            rows = await pgq.queries.driver.fetch(workers.format(schema), f"%:{os.getpid()}")
            if rows[0][0]:
                break
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await running


async def _noop(job: Job) -> None:
    pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
