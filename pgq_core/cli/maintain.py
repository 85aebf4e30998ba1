"""pause, resume, prune."""

from __future__ import annotations

from typing import Any

import click

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import name
from pgq_core.queries import Queries

DAYS = click.FloatRange(0, 36500)


@command("pause")
@click.argument("queue", type=name, required=False)
@click.option("--entrypoint", type=name, help="Only this one.")
@with_queries
async def pause(queries: Queries, queue: str | None, entrypoint: str | None) -> None:
    """Start no more jobs of QUEUE, of an entrypoint, or of one in the other."""
    if not queue and not entrypoint:
        raise click.UsageError("name a queue, an entrypoint, or both")
    await queries.pause(queue or "", entrypoint or "")
    say(f"paused: {rule_text(queue, entrypoint)}; running jobs go on")


@command("resume")
@click.argument("queue", type=name, required=False)
@click.option("--entrypoint", type=name, help="Only this one.")
@with_queries
async def resume(queries: Queries, queue: str | None, entrypoint: str | None) -> None:
    """Take back the pause with the same names."""
    if not queue and not entrypoint:
        raise click.UsageError("name a queue, an entrypoint, or both")
    await queries.resume(queue or "", entrypoint or "")
    say(f"resumed: {rule_text(queue, entrypoint)}")


def rule_text(queue: str | None, entrypoint: str | None) -> str:
    """What a pause is about."""
    where = f"queue {queue!r}" if queue else "every queue"
    return f"{entrypoint} in {where}" if entrypoint else where


@command("prune")
@click.option("--succeeded-days", type=DAYS, default=7, show_default=True)
@click.option("--failed-days", type=DAYS, default=30, show_default=True)
@click.option("--cancelled-days", type=DAYS, default=7, show_default=True)
@json_option
@with_queries
async def prune(queries: Queries, as_json: bool, **days: float) -> None:
    """Delete finished jobs older than that, with their history."""
    ages: dict[str, Any] = {
        option.removesuffix("_days"): value * 86400 for option, value in days.items()
    }
    gone = await queries.prune(**ages)
    if as_json:
        return print_json({"pruned": gone})
    say(f"pruned: {gone}")
    return None
