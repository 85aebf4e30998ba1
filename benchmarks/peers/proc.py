"""What processes cost, as /proc tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PARENT, SESSION = 1, 3
"""Positions in /proc/PID/stat after the command's name."""


def of_session(leader: int) -> list[int]:
    """The processes of a session."""
    return list(_where(lambda fields: int(fields[SESSION]) == leader))


def with_children(parent: int) -> list[int]:
    """A process and its children."""
    return [parent, *_where(lambda fields: int(fields[PARENT]) == parent)]


def cpu(pids: list[int]) -> float:
    """Seconds of CPU these have used, and the children they have buried."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _stat(pid))) * TICK


def memory(pids: list[int]) -> float:
    """Megabytes these hold now, shared pages divided among those who share them."""
    return sum(map(_proportional, pids)) / 1024


def _where(wanted: Callable[[list[str]], bool]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and wanted(fields):
            yield int(entry.name)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _proportional(pid: int) -> int:
    try:
        found = re.search(r"Pss:\s*(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return int(found[1]) if found else 0
