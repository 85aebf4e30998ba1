"""Two releases at once: this process is of the next one, whose schema has one version more.

There is no release before the first, so the one after it is made up: `next/10_next.sql`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pgq_core import migrations
from pgq_core.queries import schema

NEXT = migrations.VERSION + 1
OUTDATED = 3  # the exit code of a worker whose release the schema has left behind


def become_next() -> None:
    """From here on this process knows the next version, and installs it."""
    known: Callable[[], dict[int, Any]] = migrations.versions

    def versions() -> dict[int, Any]:
        return {**known(), NEXT: Path(__file__).parent / "next"}

    upgrade = partial(migrations.upgrade_script, target=NEXT)
    changes: dict[str, Any] = {"versions": versions, "VERSION": NEXT, "upgrade_script": upgrade}
    for module in (migrations, schema):
        for name, value in changes.items():
            if hasattr(module, name):
                setattr(module, name, value)
