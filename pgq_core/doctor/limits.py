"""From where on something is worth a word."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Thresholds; times in seconds. The defaults leave a busy, healthy queue in peace."""

    horizon_seconds: float = 300.0
    horizon_xids: int = 1_000_000
    dead_rows: int = 100_000
    bloat_bytes: int = 64 * 1024 * 1024
    bloat_factor: float = 5.0
    overdue_seconds: float = 300.0
    notify_usage: float = 0.05
