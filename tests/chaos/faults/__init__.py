"""The faults: what is inflicted, how often it is drawn, and what the design allows after it."""

from __future__ import annotations

from tests.chaos.faults import connections, handlers, processes, server, sessions
from tests.chaos.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *processes.FAULTS,
    *handlers.FAULTS,
    *connections.FAULTS,
    *sessions.FAULTS,
    *server.FAULTS,
)
BY_NAME = {fault.name: fault for fault in FAULTS}

__all__ = ["BY_NAME", "FAULTS", "Fault"]
