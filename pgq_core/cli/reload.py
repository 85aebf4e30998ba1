"""Notice that Python files have changed, by their times: no library, any file system."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

PAUSE = 0.3
SKIPPED = {"__pycache__", "node_modules"}


def snapshot(root: Path) -> dict[Path, int]:
    """Every .py file below `root` with its time; hidden directories and environments left out."""
    times: dict[Path, int] = {}
    for directory, names, files in os.walk(root):
        names[:] = [n for n in names if wanted(Path(directory, n))]
        for name in files:
            if name.endswith(".py"):
                path = Path(directory, name)
                with contextlib.suppress(OSError):  # removed meanwhile
                    times[path] = path.stat().st_mtime_ns
    return times


def wanted(directory: Path) -> bool:
    """Whether people write code there."""
    name = directory.name
    return not (name.startswith(".") or name in SKIPPED or (directory / "pyvenv.cfg").exists())


async def changed(root: Path, before: dict[Path, int]) -> dict[Path, int]:
    """Wait until something differs from `before`; returns what is there then."""
    while True:
        await asyncio.sleep(PAUSE)
        now = await asyncio.to_thread(snapshot, root)
        if now != before:
            return now
