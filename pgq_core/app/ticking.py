"""From the job of a tick to the user's handler of the schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pgq_core.models import Job, Schedule
from pgq_core.registry import Handler, is_async, takes_two
from pgq_core.schedules import ScheduleRule


def on_tick(rule: ScheduleRule, handler: Handler) -> Handler:
    """A handler that takes the tick's job and calls the user's with a Schedule."""
    zone, wants_context = ZoneInfo(rule.timezone), takes_two(rule.entrypoint, handler)

    def arguments(job: Job, context: Any) -> tuple[Any, ...]:
        tick = job.headers.get("pgq-tick")
        at = datetime.fromisoformat(tick) if tick else job.run_at or job.created_at
        schedule = Schedule(rule.name, rule.cron, rule.timezone, at.astimezone(zone), job)
        return (schedule, context) if wants_context else (schedule,)

    async def run_async(job: Job, context: Any) -> Any:
        return await handler(*arguments(job, context))

    def run_sync(job: Job, context: Any) -> Any:
        return handler(*arguments(job, context))

    return run_async if is_async(handler) else run_sync
