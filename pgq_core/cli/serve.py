"""One worker process: bind, check, run, stop on signals, leave."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.cli.group import Where
from pgq_core.cli.target import load, registry_of
from pgq_core.errors import NotBound
from pgq_core.leaving import leave_hard, stopped_by_signals
from pgq_core.memory import set_aside
from pgq_core.options import WorkerOptions

log = logging.getLogger("pgq_core.cli")


def serve(target: str, where: Where, options: WorkerOptions, tether: int | None = None) -> int:
    """Run one worker in this process until it is told to stop; returns the exit code."""
    # Outside the loop: a module may run a loop of its own while it is imported.
    found = load(target)
    channel = None if tether is None else socket.socket(fileno=tether)
    return asyncio.run(work(found, target, where, options, channel))


async def work(
    found: Any, target: str, where: Where, options: WorkerOptions, channel: socket.socket | None
) -> int:
    """Everything that needs the loop."""
    async with AsyncExitStack() as stack:
        pgq = await registry_of(found, target, stack)
        pgq.schema = where.schema or pgq.schema
        if where.dsn is not None or not bound(pgq):
            await stack.enter_async_context(where.connected(pgq))
        elif where.schema is not None:
            pgq.bind(pgq.queries.driver)
        await pgq.queries.check()
        worker = pgq.worker(options)
        worker.exit_hard = True
        with set_aside(), stopped_by_signals(pgq), tethered(pgq, channel):
            await pgq.run_worker(worker)
            if worker.book.running:
                leave_hard()
    return 0


def bound(pgq: PgQueuer) -> bool:
    """Whether the program has given it a driver."""
    try:
        return pgq.queries is not None
    except NotBound:
        return False


@contextmanager
def tethered(pgq: PgQueuer, channel: socket.socket | None) -> Iterator[None]:
    """Tell the supervisor that we are up; stop when it is gone, however it went."""
    if channel is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(channel)
        log.warning("the supervisor is gone: stopping")
        pgq.stop()

    channel.send(b"+")
    loop.add_reader(channel, gone)
    try:
        yield
    finally:
        loop.remove_reader(channel)
