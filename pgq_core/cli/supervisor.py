"""The parent of worker processes: start, replace, pass signals on. It knows no database."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pgq_core.cli.child import Child
from pgq_core.cli.failures import IMPOSSIBLE, INTERRUPTED
from pgq_core.cli.reload import changed, snapshot

log = logging.getLogger("pgq_core.cli")

STOPS = (signal.SIGTERM, signal.SIGINT)
STOPPED = {0, -signal.SIGTERM, -signal.SIGINT, INTERRUPTED}
LONG_ENOUGH = 10.0  # a child that lived so long is replaced at once


class Supervisor:
    """Keeps `count` children of one command alive until a signal, or until all are done."""

    def __init__(
        self, arguments: Sequence[str], environment: dict[str, str], count: int, watch: Path | None
    ) -> None:
        self.arguments = list(arguments)
        self.environment = environment
        self.count = count
        self.watch = watch
        self.children: dict[int, Child] = {}
        self._signals = 0
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._first_is_up = asyncio.Event()

    async def run(self) -> int:
        """Start the children and stay until the last one has ended; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self._stop, number)
        watching = loop.create_task(self._watch()) if self.watch else None
        try:
            codes = await asyncio.gather(*(self._keep(place) for place in range(self.count)))
        finally:
            if watching is not None:
                watching.cancel()
            for number in STOPS:
                loop.remove_signal_handler(number)
        return max(codes)

    # -- one place --------------------------------------------------------------------------

    async def _keep(self, place: int) -> int:
        """Keep one place filled; returns the exit code of its last child."""
        if place > 0:  # the first one shows whether the command can work at all
            await self._first_is_up.wait()
        code, failures = 0, 0
        while not self._stopping.is_set():
            child = await self._start(place)
            code = await child.process.wait()
            child.channel.close()
            if self._stopping.is_set():
                return 0 if code in STOPPED else 1
            if code == 0 and not child.renewed:
                return 0
            if child.renewed:
                failures = 0
                continue
            if code == IMPOSSIBLE and not self._first_is_up.is_set() and self.watch is None:
                return self._give_up(code)
            failures = 0 if time.monotonic() - child.started > LONG_ENOUGH else failures + 1
            await self._before_next(child, code, failures)
        return code

    async def _start(self, place: int) -> Child:
        child = self.children[place] = await Child.start(self.arguments, self.environment)
        log.info("worker process %d started", child.process.pid)
        if self._stopping.is_set():  # the signal came while it was made
            child.send(signal.SIGTERM)
        if not self._first_is_up.is_set() and await child.up():
            self._first_is_up.set()
        return child

    def _give_up(self, code: int) -> int:
        """The command itself is wrong: the child has said how."""
        self._stopping.set()
        self._first_is_up.set()
        return code

    async def _before_next(self, child: Child, code: int, failures: int) -> None:
        """Wait with a growing pause; under --reload, for the file that puts it right."""
        delay = min(30.0, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
        then = "waiting for a change" if self.watch else f"a new one starts in {delay:.1f} s"
        log.error("worker process %d ended (exit code %d); %s", child.process.pid, code, then)
        events = [self._stopping.wait()]
        if self.watch is not None:
            events.append(self._changed.wait())
        tasks = [asyncio.ensure_future(event) for event in events]
        await asyncio.wait(
            tasks, timeout=None if self.watch else delay, return_when=asyncio.FIRST_COMPLETED
        )
        for task in tasks:
            task.cancel()

    # -- what comes from outside ------------------------------------------------------------

    def _stop(self, number: int) -> None:
        """Pass the signal on; from the third on nobody is asked any more."""
        self._signals += 1
        self._stopping.set()
        self._first_is_up.set()
        for child in self.children.values():
            child.send(number if self._signals < 3 else signal.SIGKILL)

    async def _watch(self) -> None:
        """Replace every child when a file has changed."""
        assert self.watch is not None
        files = await asyncio.to_thread(snapshot, self.watch)
        while True:
            files = await changed(self.watch, files)
            log.info("files have changed: starting anew")
            for child in self.children.values():
                child.renewed = True
                child.send(signal.SIGTERM)
            self._changed.set()
            self._changed.clear()
