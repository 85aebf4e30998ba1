"""The one job every peer runs: 200 bytes of JSON, and a line in a file that says it ran."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import Any

WIDTH = 29
"""Bytes of one line: the number, a space, the time, a newline."""
PAD = "x" * 180


def payload(number: int) -> dict[str, Any]:
    """The arguments of job `number`, as every peer carries them."""
    return {"n": number, "pad": PAD}


def ran(number: int) -> None:
    """The handler's side effect: one line, appended at once, also from several processes. In a
    worker that is to be killed it never returns."""
    os.write(_file(os.getpid()), b"%10d %.6f\n" % (number, time.time()))
    if "PGQ_PEERS_HANG" in os.environ:
        time.sleep(3600)


@cache
def _file(process: int) -> int:  # noqa: ARG001
    """The file to append to, opened once in each process."""
    return os.open(os.environ["PGQ_PEERS_LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def count(path: Path) -> int:
    """How many jobs have run so far."""
    return path.stat().st_size // WIDTH if path.exists() else 0


def starts(path: Path) -> list[tuple[int, float]]:
    """Which job ran when, in the order of the file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(number), float(moment)) for number, moment in map(str.split, lines)]
