"""What the driver knows of a peer: its adapter's constants, without importing the peer itself."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

NAMES = (
    "pgq", "pgqueuer", "procrastinate", "celery", "oban", "awa", "graphile_worker", "pg_boss",
    "pgq_django", "django_tasks_db", "django_ox",
)  # fmt: skip
HERE = Path(__file__).parent


class Failed(Exception):
    """A peer could not do what it was asked; the message is for the table."""


@dataclass(frozen=True)
class Peer:
    """One peer, by its adapter."""

    name: str
    adapter: ModuleType

    @classmethod
    def named(cls, name: str) -> Peer:
        """The peer of adapters/NAME.py."""
        return cls(name, import_module(f"benchmarks.peers.adapters.{name}"))

    def get(self, constant: str, default: Any = None) -> Any:
        """A constant of the adapter."""
        return getattr(self.adapter, constant, default)

    @property
    def title(self) -> str:
        """Its name for readers."""
        return str(self.adapter.TITLE)

    @property
    def command(self) -> list[str]:
        """How a process of this peer starts; a verb and its options follow."""
        if self.get("NODE"):
            return ["node", str(HERE / "child.mjs"), self.name]
        return [sys.executable, "-W", "ignore", "-m", "benchmarks.peers.child", self.name]

    @property
    def version(self) -> str:
        """Which version is installed. Raises Failed where none is."""
        package = str(self.adapter.PACKAGE)
        if not self.get("NODE"):
            try:
                return version(package)
            except PackageNotFoundError as error:
                raise Failed(f"{package} is not installed") from error
        if which("node") is None:
            raise Failed("Node is not installed")
        modules = Path(os.environ.get("PGQ_PEERS_NODE", ".")).absolute() / "node_modules"
        manifest = modules / package / "package.json"
        if not manifest.exists():
            raise Failed(f"{package} is not in {modules.parent}: set PGQ_PEERS_NODE")
        return str(json.loads(manifest.read_text())["version"])
