"""Run what is due; and worker processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pgq_core import PgQueuer
from tests.support import until

ROOT = Path(__file__).parents[2]


async def drain(pgq: PgQueuer, **options: int) -> None:
    """Run what is due, in this process, until nothing is left."""
    await pgq.run(until_empty=True, listen=False, **options)


@contextmanager
def worker_process(dsn: str, target: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as the command line starts it; it is gone when the block ends."""
    environment = {**os.environ, "PGQ_DSN": dsn, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}"}
    with (directory / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgq_core", "worker", target, "--concurrency", "10"],
            cwd=directory, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def gone(process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """A condition: the process has ended."""
    return lambda: process.poll() is not None


def wait_until_gone(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that ends by itself."""
    until(gone(process), what="the worker ends")
