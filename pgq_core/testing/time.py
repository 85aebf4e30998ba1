"""What a set clock makes due."""

from __future__ import annotations

from datetime import datetime

from pgq_core.app import PgQueuer
from pgq_core.schedules import due_ticks, next_tick


async def promote(pgq: PgQueuer, until: datetime | None) -> int:
    """Make deferred jobs ready that are due by then (None: those hurried); says how many."""
    moved = 0
    while (more := (await pgq.queries.call("testing_promote", until=until))[0]["moved"]) > 0:
        moved += more
    return moved


async def fire_schedules(pgq: PgQueuer, now: datetime) -> None:
    """Enqueue the ticks of this program's schedules that are due by then.

    A schedule seen for the first time is planned from then on, as at a worker's first start.
    """
    for rule in pgq.registry.schedules.values():
        await pgq.queries.call(
            "declare_schedule", name=rule.name, cron=rule.cron, timezone=rule.timezone,
            catch_up=rule.catch_up, entrypoint=rule.entrypoint, queue=rule.queue,
            priority=rule.priority, payload=rule.payload, headers=None, jitter=rule.jitter,
            origin="code",
        )  # fmt: skip
    for row in await pgq.queries.call("get_schedules"):
        if row["name"] in pgq.registry.schedules and row["paused_at"] is None:
            ticks: list[datetime] = []
            upcoming = row["next_at"] or next_tick(row["cron"], row["timezone"], now)
            if upcoming <= now:
                ticks, upcoming = due_ticks(
                    row["cron"], row["timezone"], row["catch_up"], upcoming, now
                )
            planned = {"expected": row["next_at"], "ticks": ticks, "next_at": upcoming}
            await pgq.queries.call("fire_schedule", **{**row, **planned})
