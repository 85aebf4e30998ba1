"""How these tests run the command line: in this process, or as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support import until

ROOT = Path(__file__).parents[2]
CLEARED = ("PGQ_DSN", "DATABASE_URL", "PGQ_SCHEMA")


@dataclass(frozen=True)
class Answer:
    """What a run said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which must be one JSON document."""
        return json.loads(self.out)

    def one_line(self) -> str:
        """What it complained of: one line, no traceback."""
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err + self.out
        return self.err


def environment(dsn: str | None = None, **more: str) -> dict[str, str]:
    """Ours, with this database and no other."""
    plain = {name: value for name, value in os.environ.items() if name not in CLEARED}
    named = {} if dsn is None else {"PGQ_DSN": dsn}
    return {**plain, "PYTHONPATH": str(ROOT), **named, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pgq_core", *arguments]


def call(
    *arguments: str, dsn: str | None = None, stdin: bytes = b"", cwd: Path | None = None, **env: str
) -> Answer:
    """Run the program to its end."""
    done = subprocess.run(
        command(*arguments), check=False, input=stdin, capture_output=True, cwd=cwd, timeout=60,
        env=environment(dsn, **env),
    )  # fmt: skip
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


class Program:
    """A program that runs on: signals, and how it ended."""

    def __init__(
        self, *arguments: str, dsn: str, cwd: Path, group: bool = False, **env: str
    ) -> None:
        self.log = cwd / f"log-{os.urandom(4).hex()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(*arguments), cwd=cwd, env=environment(dsn, **env), stdout=log, stderr=log,
                start_new_session=group,
            )  # fmt: skip

    def send(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit code, once there is one."""
        return self.process.wait(30)

    def says(self, text: str) -> None:
        """Wait until it has written this."""
        until(lambda: text in self.output, what=f"{text!r} in:\n{self.output}")

    @property
    def output(self) -> str:
        return self.log.read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Database:
    """What the database says."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)

    def rows(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        cursor = self._connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: Any) -> Any:
        found = self.rows(statement, *values)
        return found[0][0] if found else None

    def enqueue(self, entrypoint: str, payload: str = "") -> int:
        statement = "INSERT INTO pgq_jobs (entrypoint, payload) VALUES (%s, %s) RETURNING id"
        return int(self.value(statement, entrypoint, payload.encode()))

    def state(self, job: int) -> str:
        return str(self.value("SELECT state FROM pgq_job_states WHERE id = %s", job))

    def reaches(self, job: int, state: str) -> None:
        """Wait until the job is in this state."""
        until(lambda: self.state(job) == state, what=f"job {job} {state}")

    def workers(self) -> dict[int, int]:
        """Process id → worker id."""
        return {
            int(name.rpartition(":")[2]): worker
            for name, worker in self.rows("SELECT name, worker_id FROM pgq_workers")
        }

    def outcomes(self, job: int) -> list[str]:
        statement = "SELECT outcome FROM pgq_attempts WHERE job_id = %s ORDER BY attempt"
        return [outcome for (outcome,) in self.rows(statement, job)]

    def spent(self, job: int) -> int:
        """How many attempts a waiting job has spent."""
        return int(self.value("SELECT spent FROM pgq_ready WHERE job_id = %s", job))

    def close(self) -> None:
        self._connection.close()
