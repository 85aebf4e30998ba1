"""What the sentinel and the worker's loop know of each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Tell = Callable[..., None]  # a kind, and what goes with it; the worker hears it in its own loop


@dataclass
class Identity:
    """Who this process is in the database."""

    worker_id: int
    key: int
    channel: str
    common: str


@dataclass
class Pulse:
    """What the worker's loop leaves here for the beats, and reads back."""

    ticked: float = field(default_factory=time.monotonic)
    beaten: float = field(default_factory=time.monotonic)
    running: int = 0
    listener: str = "starting"
    connections: int = 0

    @property
    def hears(self) -> bool:
        """Whether notifications arrive here."""
        return self.listener == "listening"
