"""A worker process of the stand: `python -m benchmarks.worker DSN SCHEMA OPTIONS`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pgq_core import Job, PgQueuer
from pgq_core.db import AsyncpgPoolDriver
from pgq_core.memory import set_aside


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


@asynccontextmanager
async def metered(dsn: str, schema: str) -> AsyncIterator[PgQueuer]:
    """A PgQueuer whose statements are counted, each a transaction; SIGUSR1 prints how many. The
    server's own count comes late for those that write nothing."""
    count = 0

    def note(_: Any) -> None:
        nonlocal count
        count += 1

    async def watch(connection: Any) -> None:
        connection.add_query_logger(note)

    async def connect() -> Any:
        connection = await asyncpg.connect(dsn)
        connection.add_query_logger(note)
        return connection

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: print(count, flush=True))
    async with asyncpg.create_pool(dsn, min_size=0, setup=watch) as pool:
        yield PgQueuer(AsyncpgPoolDriver(pool, connect), schema=schema)


async def main(dsn: str, schema: str, options: dict[str, Any]) -> None:
    """Work until SIGTERM."""
    path = options.pop("log", None)
    log = None if path is None else os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    opened = metered if options.pop("metered", False) else PgQueuer.connect
    async with opened(dsn, schema=schema) as pgq:
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
    import uvloop

    uvloop.install()
    with set_aside():  # as our command line does
        asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
