"""How a worker process leaves: by signals, and in the end whatever it holds."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("pgq_core.leaving")

STOPS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """What can be told to stop, from its loop."""

    def stop(self, *, now: bool = False) -> None:
        """In order, or `now`: give running jobs back."""


@contextmanager
def stopped_by_signals(pgq: Stoppable) -> Iterator[None]:
    """The first signal stops claiming, the second gives running jobs back, the third kills."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def receive(number: int, _frame: object) -> None:
        # Not the loop's own handlers: a handler that blocks the loop would keep them from counting.
        seen.append(number)
        if len(seen) > 2:
            os._exit(128 + number)
        loop.call_soon_threadsafe(stop, pgq, number, len(seen) > 1)

    before = {number: signal.signal(number, receive) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop(pgq: Stoppable, number: int, now: bool) -> None:
    """Tell the worker, and say what happens next."""
    how = "giving running jobs back" if now else "letting running jobs finish (again: at once)"
    log.info("%s: %s", signal.Signals(number).name, how)
    pgq.stop(now=now)


def leave_hard() -> None:
    """End the process although a thread or a coroutine does not stop; its job is given back."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
