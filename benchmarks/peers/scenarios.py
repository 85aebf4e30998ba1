"""The scenarios: each takes a bench and a peer, and returns the figures of one round."""

from __future__ import annotations

from benchmarks.peers import drains, kills, pickups

SCENARIOS = {
    "drain": (drains.drain, 3), "singles": (pickups.singles, 1), "idle": (pickups.idle, 1), "ten": (pickups.ten, 1),
    "pinned": (drains.pinned, 1), "deferred": (drains.deferred, 1), "load": (pickups.load, 1),
    "killed": (kills.killed, 1),
}  # fmt: skip
"""What is measured, and how many rounds of it in the ordinary form."""
