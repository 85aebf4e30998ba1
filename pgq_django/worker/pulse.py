"""The health file: touched while the worker lives, old when it does not."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from pgq_core.worker import Worker

log = logging.getLogger("pgq_django")

EVERY = 1.0


async def keep_health_file(worker: Worker, path: Path | None) -> None:
    """Touch the file every second, as long as the worker's beats reach the database.

    Where that fails the log says so once; it is tried again.
    """
    failing = False
    while path is not None:
        if beats(worker):
            try:
                await asyncio.to_thread(touch, path)
            except OSError as error:
                if not failing:
                    log.error("the health file cannot be touched: %s", error)
                failing = True
            else:
                failing = False
        await asyncio.sleep(EVERY)


def touch(path: Path) -> None:
    """Set its time to now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def beats(worker: Worker) -> bool:
    """Whether the last beat is younger than the lease."""
    crew = getattr(worker, "crew", None)
    if crew is None:
        return False
    return bool(time.monotonic() - crew.sentinel.pulse.beaten < worker.options.lease)
