"""Worker processes, and what their handlers have said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pgq_core
from tests.support import eventually

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(pgq_core.__file__).parent.parent

Process = subprocess.Popen[bytes]


class Line(NamedTuple):
    """One line of the log that all processes write to."""

    event: str
    entrypoint: str
    key: str
    job: int
    attempt: int
    pid: int
    at: float


class Processes:
    """The worker processes of one test; whatever is left is killed at its end."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn = dsn
        self.directory = directory
        self.log = directory / "log"
        self.log.touch()
        self.all: list[Process] = []

    def spawn(self, *declared: tuple[str, str, dict[str, Any]], **options: Any) -> Process:
        """Start one that declares these handlers; `options` are WorkerOptions."""
        said = {"dsn": self.dsn, "log": str(self.log), "declare": declared, "options": options}
        with (self.directory / f"stderr-{len(self.all)}").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(said)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        self.all.append(process)
        return process

    async def ready(self, connection: Any, count: int) -> None:
        """Wait until so many workers have registered."""

        async def enough() -> bool:
            found = await connection.fetchval(
                "SELECT count(*) FROM pgq_workers WHERE locked_at IS NOT NULL"
            )
            return bool(found >= count)

        await eventually(enough, what=f"{count} workers are registered")

    def lines(self, event: str | None = None) -> list[Line]:
        """What was said so far."""
        read = [
            Line(word, name, key, int(job), int(attempt), int(pid), float(at))
            for word, name, key, job, attempt, pid, at in map(
                str.split, self.log.read_text().splitlines()
            )
        ]
        return [line for line in read if event in (None, line.event)]

    async def said(self, event: str, count: int = 1) -> list[Line]:
        """Wait for so many lines of that kind."""

        async def enough() -> list[Line]:
            found = self.lines(event)
            return found if len(found) >= count else []

        lines: list[Line] = await eventually(enough, what=f"{count} × {event}")
        return lines

    def kill(self, process: Process) -> None:
        """SIGKILL, and wait until it is gone."""
        process.kill()
        process.wait(10)

    def stop(self, process: Process) -> int:
        """SIGTERM; its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(20)

    def close(self) -> None:
        """Nothing of it survives the test."""
        for process in self.all:
            if process.poll() is None:
                self.kill(process)
