"""The parent of worker processes: start, replace, pass signals on. It has no database."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import FrameType

from django.utils.autoreload import get_child_arguments

from pgq_django.worker.watch import Watch

log = logging.getLogger("pgq_django")

CHILD = "PGQ_WORKER_CHILD"  # the end of a pipe that closes when the parent is gone
PAUSE = 0.1
LONG_ENOUGH = 5.0  # a worker that lived so long is worth a new one


@dataclass
class Child:
    """One worker process."""

    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    renewed: bool = False  # told to end so that another takes its place

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started


class Supervisor:
    """Keeps `count` workers alive until a signal; with `watch`, anew whenever code changes."""

    def __init__(self, count: int, watch: Watch | None) -> None:
        self.count = count
        self.watch = watch
        self.children: list[Child] = []
        self.stops = 0
        self.failures = 0
        self.proven = watch is not None
        self._tether, self._line = os.pipe()

    def run(self) -> int:
        """Stay until the last child has ended; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        for _ in range(self.count):
            if not self.stops:
                self._start()
        code = 0
        while self.children:
            time.sleep(PAUSE)
            for child in [child for child in self.children if child.process.poll() is not None]:
                code = max(code, self._ended(child))
            self._renew_if_changed()
        return code

    def _start(self) -> None:
        environment = {**os.environ, CHILD: str(self._tether)}
        process = subprocess.Popen(
            get_child_arguments(),
            env=environment,
            pass_fds=[self._tether],
            start_new_session=True,  # a terminal's ^C must reach it once: through us
        )
        self.children.append(Child(process))
        if self.stops:  # the signal came while this one was made: nobody has told it
            process.send_signal(signal.SIGTERM)

    def _ended(self, child: Child) -> int:
        """Replace a child, unless it was told to end or had nothing left to do."""
        self.children.remove(child)
        code = child.process.returncode
        self.proven = self.proven or child.age > LONG_ENOUGH
        if self.stops or (code == 0 and not child.renewed):
            return 1 if code > 0 else 0
        if code > 0 and not self.proven:  # the command itself is wrong; the child has said how
            self._pass_on(signal.SIGTERM, None)
            return code
        if not child.renewed:
            self._wait(child, code)
        if not self.stops:
            self._start()
        return 0

    def _wait(self, child: Child, code: int) -> None:
        """Before a crashed child is replaced: longer each time, or until the code has changed."""
        self.failures = 0 if child.age > LONG_ENOUGH else self.failures + 1
        end = time.monotonic() + min(30.0, 0.1 * 2**self.failures)
        log.error("worker process %d ended with %d; starting another", child.process.pid, code)
        while not self.stops and time.monotonic() < end:
            time.sleep(PAUSE)
            if self.watch is not None and self.watch.changed():
                return

    def _renew_if_changed(self) -> None:
        """Let every child finish its jobs and be replaced."""
        if self.watch is not None and not self.stops and self.watch.changed():
            log.warning("code has changed; running jobs may finish, then workers start anew")
            for child in self.children:
                child.renewed = True
                child.process.send_signal(signal.SIGTERM)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """A signal for us is one for all; the third is not asked any more."""
        self.stops += 1
        for child in self.children:
            if child.process.poll() is None:
                child.process.send_signal(number if self.stops < 3 else signal.SIGKILL)
        if self.stops > 3:
            sys.exit(1)
