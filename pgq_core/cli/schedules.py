"""schedules: list, add, pause, resume, run, delete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from pgq_core.cli.group import DatabaseGroup, command, json_option, with_queries
from pgq_core.cli.output import age, print_json, print_table, say, schedule_facts
from pgq_core.cli.types import SMALLINT, duration, name
from pgq_core.queries import Queries
from pgq_core.schedules import CATCH_UP


@click.group("schedules", cls=DatabaseGroup, invoke_without_command=True)
@json_option
@click.pass_context
def schedules(ctx: click.Context, as_json: bool) -> None:
    """List the schedules with their next ticks, or change them."""
    if ctx.invoked_subcommand is None:
        show(as_json=as_json)


@with_queries
async def show(queries: Queries, as_json: bool) -> None:
    """List them."""
    found = await queries.get_schedules()
    if as_json:
        return print_json([schedule_facts(schedule) for schedule in found])
    columns = ("name", "cron", "time zone", "entrypoint", "queue", "next (UTC)", "last", "note")
    print_table(columns, [row_of(schedule) for schedule in found])
    return None


def row_of(schedule: dict[str, Any]) -> tuple[Any, ...]:
    """A schedule as people read it: ticks below each other, and why it does not run."""
    notes = []
    if schedule["paused_at"] is not None:
        notes.append(f"paused for {age(schedule['paused_at'])}")
    if not schedule["declared"]:
        notes.append("no live worker declares it")
    ticks = "\n".join(f"{tick:%Y-%m-%d %H:%M}" for tick in schedule["ticks"])
    return (
        schedule["name"], schedule["cron"], schedule["timezone"], schedule["entrypoint"],
        schedule["queue"], ticks, schedule["last_at"], ", ".join(notes),
    )  # fmt: skip


@command("add")
@click.argument("schedule", metavar="NAME", type=name)
@click.argument("cron")
@click.option("--entrypoint", type=name, required=True, help="What its jobs run.")
@click.option("--payload", help="Of its jobs: text, JSON for instance.")
@click.option("--timezone", default="UTC", show_default=True, help="An IANA name.")
@click.option("--catch-up", type=click.Choice(CATCH_UP), default="last", show_default=True,
              help="What becomes of ticks missed while no worker ran.")  # fmt: skip
@click.option("--queue", type=name, default="default", show_default=True)
@click.option("--priority", type=SMALLINT, default=5, show_default=True)
@click.option("--jitter", type=duration, default="0", help="Up to so much later, at random.")
@with_queries
async def add(queries: Queries, schedule: str, cron: str, jitter: timedelta, **fields: Any) -> None:
    """Make schedule NAME, or change it. CRON: five fields, or @daily and the like."""
    await queries.set_schedule(schedule, cron, jitter=jitter.total_seconds(), **fields)
    found = next(s for s in await queries.get_schedules(1) if s["name"] == schedule)
    say(f"schedule {schedule!r}: next {found['ticks'][0]:%Y-%m-%d %H:%M} UTC"
        if found["ticks"] else f"schedule {schedule!r}: paused")  # fmt: skip


@command("pause")
@click.argument("schedule", metavar="NAME")
@with_queries
async def pause(queries: Queries, schedule: str) -> None:
    """Fire no ticks of NAME until it is resumed."""
    await queries.pause_schedule(schedule)
    say(f"paused: schedule {schedule!r}")


@command("resume")
@click.argument("schedule", metavar="NAME")
@with_queries
async def resume(queries: Queries, schedule: str) -> None:
    """Fire again, from the next tick on."""
    await queries.resume_schedule(schedule)
    say(f"resumed: schedule {schedule!r}")


@command("run")
@click.argument("schedule", metavar="NAME")
@json_option
@with_queries
async def run(queries: Queries, schedule: str, as_json: bool) -> None:
    """Enqueue the job of NAME now, besides its plan."""
    job = await queries.run_schedule(schedule)
    if as_json:
        return print_json({"id": job})
    say(f"job {job}")
    return None


@command("delete")
@click.argument("schedule", metavar="NAME")
@with_queries
async def delete(queries: Queries, schedule: str) -> None:
    """Delete NAME. One declared in code comes back with the next worker that declares it."""
    await queries.delete_schedule(schedule)
    say(f"deleted: schedule {schedule!r}")


for _command in (add, pause, resume, run, delete):
    schedules.add_command(_command)
