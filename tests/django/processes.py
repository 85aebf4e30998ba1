"""Workers as processes of their own: real ones, which have imported Django before they start.

Importing takes a worker two seconds, most of what a test would wait for. So one process imports
once, without settings, and every worker is a fork of it that goes on as `manage.py pgq_worker`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
        self.process = forks.Process(target=work, args=(flags, given), daemon=True)
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

    def received(self, number: int) -> bool:
        """Whether no such signal waits: another one sent before that would be the same one."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        waiting = int(status.partition("ShdPnd:")[2].split()[0], 16)
        return not waiting >> (number - 1) & 1

    def terminate(self) -> None:
        """Stop it in order."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it at once."""
        self.process.kill()


def work(flags: tuple[str, ...], environment: dict[str, str]) -> None:
    """In the fork: what manage.py does; it looks for new tasks twice a second instead of rarely."""
    from django.core.management import execute_from_command_line

    from pgq_django.worker import discovery

    os.environ.clear()
    os.environ.update(environment)
    discovery.LOOK_AGAIN = 0.5
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
