"""Fire schedules: a tick becomes one ordinary job, once over all processes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.queries import Queries
from pgq_core.registry import Registry
from pgq_core.schedules import check_cron, due_ticks, next_tick
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.pace import Pace

log = logging.getLogger("pgq_core.schedules")


@dataclass
class Timetable:
    """Plans and fires the user's schedules, and those this process's code declares."""

    claimer: Claimer
    registry: Registry
    enabled: bool

    async def declare(self, queries: Queries) -> None:
        """Write the code's schedules to the database."""
        self.claimer.schedules = sorted(self.registry.schedules) if self.enabled else None
        for rule in self.registry.schedules.values() if self.enabled else ():
            await queries.call(
                "declare_schedule", name=rule.name, cron=rule.cron, timezone=rule.timezone,
                catch_up=rule.catch_up, entrypoint=rule.entrypoint, queue=rule.queue,
                priority=rule.priority, payload=rule.payload, headers=None, jitter=rule.jitter,
                origin="code",
            )  # fmt: skip

    async def serve(self, due: float | None, now: float, pace: Pace) -> None:
        """Fire what is due; look again when the next tick is."""
        if due is None or not self.enabled:
            return
        if due > 0:
            pace.no_later_than(now + due)
            return
        for row in await self.claimer.line.call("due_schedules", schedules=self.claimer.schedules):
            await self._fire(row)
        pace.at_once()

    async def _fire(self, row: Any) -> None:
        """Only the process that finds `next_at` unchanged fires; a rule that broke is put aside."""
        name, cron, zone, expected = row["name"], row["cron"], row["timezone"], row["next_at"]
        try:
            ticks: list[datetime] = []
            check_cron(cron)
            if expected is None:
                upcoming = next_tick(cron, zone, row["now"])
            else:
                ticks, upcoming = due_ticks(cron, zone, row["catch_up"], expected, row["now"])
        except InvalidInput as error:
            log.error("schedule %r cannot be planned (%s); pausing it", name, error)
            await self.claimer.line.call("pause_schedule", name=name, paused=True)
            return
        made = await self.claimer.line.call(
            "fire_schedule", name=name, cron=cron, timezone=zone, expected=expected, ticks=ticks,
            next_at=upcoming,
        )  # fmt: skip
        for job in made:
            log.info("schedule %r fired: job %d", name, job["id"])
