"""Workers as processes of their own: real ones, which have imported Django before they start.

Importing takes a worker two seconds, most of what a test would wait for. So one process imports
once, without settings, and every worker is a fork of it that goes on as `manage.py pgq_worker`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

IMPORTED = (
    "django.contrib.admin", "django.core.management", "django.core.serializers.json",
    "django.db.backends.postgresql.base", "django.urls", "pgq_core.worker",
    "pgq_django.management.commands.pgq_worker",
)  # fmt: skip
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.django.settings"}

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([*IMPORTED, __name__])


class Worker:
    """A worker process, as subprocess.Popen would have it."""

    def __init__(self, flags: tuple[str, ...], environment: Mapping[str, str]) -> None:
        given = {**os.environ, **SETTINGS, **environment}
        self.told = forks.Semaphore(0)
        arguments = (flags, given, self.told)
        self.process = forks.Process(target=work, args=arguments, daemon=True)
        self.process.start()

    def wait(self, seconds: float | None = None) -> int:
        """The exit code."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, f"the worker has not ended within {seconds} s"
        return code

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Signal it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def heeded(self) -> bool:
        """Wait until it has acted on a signal: one sent before that may count as the same."""
        return self.told.acquire(timeout=20)

    def terminate(self) -> None:
        """Stop it in order."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it at once."""
        self.process.kill()


class Teller(logging.Handler):
    """Lets the test know of every message."""

    def __init__(self, told: Semaphore) -> None:
        super().__init__()
        self.told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        self.told.release()


def work(flags: tuple[str, ...], environment: dict[str, str], told: Semaphore) -> None:
    """In the fork: what manage.py does; it looks for new tasks twice a second instead of rarely."""
    from django.core.management import execute_from_command_line

    from pgq_django.worker import discovery

    os.environ.clear()
    os.environ.update(environment)
    discovery.LOOK_AGAIN = 0.5
    leaving = logging.getLogger("pgq_core.leaving")
    leaving.setLevel(logging.INFO)
    leaving.addHandler(Teller(told))
    execute_from_command_line(["manage.py", "pgq_worker", *flags])


@contextmanager
def worker(*flags: str, **environment: str) -> Iterator[Worker]:
    """A worker; killed at the end if it is still there."""
    made = Worker(flags, environment)
    try:
        yield made
    finally:
        made.kill()
        made.wait()


def drain(*flags: str, **environment: str) -> None:
    """Run a worker until nothing is left."""
    with worker("--until-empty", *flags, **environment) as process:
        assert process.wait(60) == 0


@contextmanager
def command(*flags: str, cwd: Path | None = None, **environment: str) -> Iterator[Any]:
    """The command itself, from an interpreter of its own, as a supervisor's children need it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "pgq_worker", *flags],
        cwd=cwd,
        env={**os.environ, **SETTINGS, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
