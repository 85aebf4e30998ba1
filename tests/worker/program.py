"""One worker process for the tests: `program.py '{"dsn": …, "log": …, "options": {…}, …}'`.

`patch` sets constants by their dotted names. The handlers take `{"seconds": …, "again": …}` and
write lines "event job attempt pid time" to the log, one `os.write` each, so that a line is whole or
absent whatever kills the process.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pgq_core import Context, Job, PgQueuer
from pgq_core.options import WorkerOptions

SAID: dict[str, Any] = json.loads(sys.argv[1])
LOG = os.open(SAID["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

pgq = PgQueuer()


def note(event: str, job: Job) -> None:
    """One line, one write."""
    os.write(LOG, f"{event} {job.id} {job.attempt} {os.getpid()} {time.time()}\n".encode())


def seconds(job: Job) -> float:
    """How long this attempt takes: `again` is for all but the first."""
    said = job.json() or {}
    usual = said.get("seconds", 0.0)
    return float(usual if job.attempt == 1 else said.get("again", usual))


def noted(handler: Callable[[Job], Awaitable[None]]) -> Callable[[Job], Awaitable[None]]:
    """Write when an attempt starts, ends, or is stopped."""

    async def run(job: Job) -> None:
        note("start", job)
        try:
            await handler(job)
        except asyncio.CancelledError:
            note("stopped", job)
            raise
        note("end", job)

    return run


@pgq.entrypoint("nap")
@noted
async def nap(job: Job) -> None:
    """Sleep on the loop."""
    await asyncio.sleep(seconds(job))


@pgq.entrypoint("once", max_attempts=1)
@noted
async def once(job: Job) -> None:
    """A job that may start only once."""
    await asyncio.sleep(seconds(job))


@pgq.entrypoint("block")
@noted
async def block(job: Job) -> None:
    """Block the loop, which a handler should not do."""
    await asyncio.sleep(0)
    time.sleep(seconds(job))  # noqa: ASYNC251


@pgq.entrypoint("thread")
def thread(job: Job, context: Context) -> None:
    """A plain function that looks at `context.cancelled`."""
    note("start", job)
    end = time.monotonic() + seconds(job)
    while time.monotonic() < end:
        if context.cancelled:
            note("stopped", job)
            return
        time.sleep(0.01)
    note("end", job)


@pgq.entrypoint("deaf")
def deaf(job: Job) -> None:
    """A plain function that cannot be stopped."""
    note("start", job)
    time.sleep(seconds(job))
    note("end", job)


@pgq.entrypoint("poison")
@noted
async def poison(job: Job) -> None:
    """Take the process along."""
    await asyncio.sleep(seconds(job))
    os.kill(os.getpid(), signal.SIGKILL)


@pgq.entrypoint("leave")
@noted
async def leave(job: Job) -> None:
    """End the process without a word."""
    os._exit(3)


@pgq.entrypoint("flaky", backoff=0.05, max_attempts=20)
@noted
async def flaky(job: Job) -> None:
    """Fail one time in ten."""
    await asyncio.sleep(random.uniform(0.0, 0.02))
    if random.random() < 0.1:
        note("raise", job)
        raise RuntimeError("one in ten")


def patch(constants: dict[str, Any]) -> None:
    for path, value in constants.items():
        module, _, name = path.rpartition(".")
        setattr(importlib.import_module(module), name, value)


async def main() -> None:
    patch(SAID["patch"])
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, pgq.stop)
    async with pgq.connected(SAID["dsn"]):
        await pgq.run_worker(pgq.worker(WorkerOptions(**SAID["options"])))


if __name__ == "__main__":
    asyncio.run(main())
