"""Schedules made, changed and run at run time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.models import check_smallint, check_text, encode_headers, encode_payload
from pgq_core.queries import rows
from pgq_core.queries.base import Statements
from pgq_core.schedules import ScheduleRule, check_cron, next_ticks


class Timetable(Statements):
    """The verbs about schedules."""

    async def get_schedules(self, ticks: int = 5) -> list[dict[str, Any]]:
        """Every schedule with its next ticks; `declared` is False when no live code knows it."""
        found = []
        for row in await self.call("get_schedules"):
            headers = rows.decoded(row["headers"])
            found.append({**row, "headers": headers, "ticks": planned(row, ticks)})
        return found

    async def set_schedule(
        self,
        name: str,
        cron: str,
        *,
        entrypoint: str,
        payload: Any = None,
        timezone: str = "UTC",
        catch_up: str = "last",
        queue: str = "default",
        priority: int = 5,
        headers: dict[str, Any] | None = None,
        jitter: float | timedelta = 0.0,
    ) -> None:
        """Create a schedule, or change it. Raises InvalidInput before any SQL."""
        rule = ScheduleRule(
            check_text("name", name), cron, timezone, catch_up,
            check_text("entrypoint", entrypoint), check_text("queue", queue),
            check_smallint("priority", priority), jitter,
        )  # fmt: skip
        await self.call(
            "declare_schedule", name=rule.name, cron=rule.cron, timezone=rule.timezone,
            catch_up=rule.catch_up, entrypoint=rule.entrypoint, queue=rule.queue,
            priority=rule.priority, payload=encode_payload(payload, self.max_payload),
            headers=encode_headers(headers), jitter=rule.jitter, origin="user",
        )  # fmt: skip
        await self.call("tell_all", message="look")

    async def pause_schedule(self, name: str) -> None:
        """Fire no ticks until it is resumed; they do not count as missed."""
        known(name, await self.call("pause_schedule", name=name, paused=True))

    async def resume_schedule(self, name: str) -> None:
        """Fire again, from the next tick on."""
        known(name, await self.call("pause_schedule", name=name, paused=False))
        await self.call("tell_all", message="look")

    async def run_schedule(self, name: str) -> int:
        """Enqueue its job now, besides the plan; returns the job's id."""
        return int(known(name, await self.call("run_schedule", name=name))["id"])

    async def delete_schedule(self, name: str) -> None:
        """Delete it; one declared in code comes back with the next worker that declares it."""
        known(name, await self.call("delete_schedule", name=name))


def planned(row: Any, count: int) -> list[datetime]:
    """The next ticks; none while it is paused, or when the rule has become unreadable."""
    if row["paused_at"] is not None:
        return []
    try:
        check_cron(row["cron"])
        return next_ticks(row["cron"], row["timezone"], datetime.now(timezone.utc), count)
    except InvalidInput:
        return []


def known(name: str, found: list[Any]) -> Any:
    """The row of a schedule. Raises InvalidInput when there is none."""
    if not found:
        raise InvalidInput(f"there is no schedule {name!r}; `pgq-core schedules` lists them")
    return found[0]
