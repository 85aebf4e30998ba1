"""Handlers tell the oracle what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pgq_core import Job
from tests.chaos.oracle import Log


@dataclass
class Teller:
    """Writes when a run starts, and when it stops or is cut short."""

    log: Log
    pid: int
    worker: Callable[[], int]

    def note(self, event: str, job: Job) -> None:
        """What happens to this attempt, where."""
        self.log.note(event, job.id, job.attempt, self.pid, self.worker())

    @contextmanager
    def told(self, job: Job) -> Iterator[None]:
        """Around a handler."""
        self.note("start", job)
        try:
            yield
        except BaseException as error:
            cut = isinstance(error, asyncio.CancelledError)
            self.note("cut" if cut else "stop", job)
            raise
        self.note("stop", job)

    def harm(self, job: Job, name: str) -> bool:
        """Whether this attempt is one that does harm: the first so many, as the payload says."""
        harmful = job.attempt <= int(job.payload or b"1")
        if harmful:
            self.log.note("fault", job.id, name, self.pid)
        return harmful
