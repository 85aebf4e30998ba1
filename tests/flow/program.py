"""One worker process: `program.py '{"dsn": …, "log": …, "declare": [[kind, name, options], …]}'`.

`declare` registers handlers: "nap" sleeps as its payload says, "tick" is a schedule, whose options
hold its `cron`. They write "event name key job attempt pid time" lines, one `os.write` each, so that a
line is whole or absent whatever kills the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from typing import Any

from pgq_core import Job, PgQueuer, Schedule
from pgq_core.options import WorkerOptions

SAID: dict[str, Any] = json.loads(sys.argv[1])
LOG = os.open(SAID["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

pgq = PgQueuer()


def note(event: str, job: Job) -> None:
    """One line, one write."""
    key = job.concurrency_key or "-"
    line = f"{event} {job.entrypoint} {key} {job.id} {job.attempt} {os.getpid()} {time.time()}\n"
    os.write(LOG, line.encode())


async def nap(job: Job) -> None:
    """Sleep, and say when that begins and ends."""
    note("start", job)
    await asyncio.sleep((job.json() or {}).get("seconds", 0.0))
    note("end", job)


async def tick(schedule: Schedule) -> None:
    """Say that a tick has come."""
    note("start", schedule.job)


def declare(kind: str, name: str, options: dict[str, Any]) -> None:
    """Register one handler."""
    if kind == "tick":
        pgq.schedule(name, options.pop("cron"), **options)(tick)
    else:
        pgq.entrypoint(name, **options)(nap)


async def main() -> None:
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    for kind, name, options in SAID["declare"]:
        declare(kind, name, options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.stop)
    async with pgq.connected(SAID["dsn"]):
        await pgq.run_worker(pgq.worker(WorkerOptions(**SAID["options"])))


if __name__ == "__main__":
    asyncio.run(main())
