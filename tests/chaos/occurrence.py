"""That a fault was inflicted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Occurrence:
    """When, and at which processes it was aimed; None: at anybody."""

    name: str
    at: float
    pids: set[int] | None = None
