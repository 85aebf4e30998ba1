"""Notice that Python files have changed, by their times."""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.apps import apps

SKIPPED = {"__pycache__", "node_modules"}


class Watch:
    """The site's own code: the working directory, and apps that are not installed packages."""

    def __init__(self) -> None:
        packages = [*site.getsitepackages(), sysconfig.get_path("stdlib")]
        paths = {Path.cwd(), *(Path(config.path) for config in apps.get_app_configs())}
        self.roots = [p for p in paths if not any(p.is_relative_to(q) for q in packages)]
        self.seen = self.snapshot()

    def changed(self) -> bool:
        """Whether a file is new, gone or newer than when we last asked."""
        before, self.seen = self.seen, self.snapshot()
        return before != self.seen

    def snapshot(self) -> dict[str, int]:
        """Every .py file with its time."""
        return {path: time for root in self.roots for path, time in files(str(root))}


def files(root: str) -> Iterator[tuple[str, int]]:
    """Python files below a directory; hidden directories and environments left out."""
    for directory, names, found in os.walk(root):
        names[:] = [name for name in names if wanted(directory, name)]
        for name in found:
            if name.endswith(".py"):
                path = f"{directory}/{name}"
                with suppress(OSError):  # removed meanwhile
                    yield path, Path(path).stat().st_mtime_ns


def wanted(directory: str, name: str) -> bool:
    """Whether people write code there."""
    hidden = name.startswith(".") or name in SKIPPED
    return not hidden and not Path(directory, name, "pyvenv.cfg").exists()
