"""The files to work on, and the plain loop the results are checked against."""

from __future__ import annotations

import hashlib
import os
import stat
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20
# Other people's packages, and files that Python itself writes while the demo runs.
NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}


class Digest(NamedTuple):
    """What one job finds out about one file."""

    sha256: str
    bytes: int
    lines: int


@dataclass(frozen=True)
class Files:
    """What is there to read."""

    root: Path
    paths: list[str]
    skipped: int


def standard_library() -> Path:
    """Where Python's own standard library lies."""
    return Path(sysconfig.get_path("stdlib"))


def find(root: Path | None = None) -> Files:
    """Every regular file below `root` that can be read, links not followed; without a root, those
    of Python's standard library."""
    left_out = NOT_OURS if root is None else set()
    root = (root or standard_library()).absolute()
    paths: list[str] = []
    unreadable: list[object] = []
    for directory, names, files in os.walk(root, onerror=unreadable.append):
        names[:] = sorted(set(names) - left_out)
        for name in sorted(files):
            path = str(Path(directory, name))
            if is_regular(path):
                (paths if os.access(path, os.R_OK) else unreadable).append(path)
    return Files(root, paths, len(unreadable))


def is_regular(path: str) -> bool:
    """A file with contents: no link, no pipe, no device."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def digest(path: str) -> Digest:
    """Hash a file, count its bytes and its lines."""
    sha, size, lines = hashlib.sha256(), 0, 0
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return Digest(sha.hexdigest(), size, lines)


def plain_loop(paths: Iterable[str]) -> dict[str, Digest | None]:
    """The same work without a queue; None for a file that cannot be read any more."""
    found: dict[str, Digest | None] = {}
    for path in paths:
        try:
            found[path] = digest(path)
        except OSError:
            found[path] = None
    return found
