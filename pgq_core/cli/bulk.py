"""What names many jobs at once, and the commands that only do that: delete, redrive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import click

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import duration, name
from pgq_core.models import JobState
from pgq_core.queries import Queries

F = TypeVar("F", bound=Callable[..., Any])
COUNT = click.IntRange(1)


def filters(*states: JobState) -> Callable[[F], F]:
    """The options that name jobs by what they are; `states`: those `--state` may say."""
    options = [
        click.option("--queue", type=name, help="Only jobs of this queue."),
        click.option("--entrypoint", type=name, help="Only its jobs."),
        click.option("--older-than", type=duration, metavar="DURATION", help="By time of enqueue."),
        click.option("--limit", type=COUNT, help="At most so many, oldest first."),
        click.option("--dry-run", is_flag=True, help="Say how many, change nothing."),
    ]
    if states:
        choice = click.Choice([state.value for state in states])
        options.append(click.option("--state", "states", type=choice, multiple=True,
                                    help="Only in this state; may be repeated."))  # fmt: skip

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def named(chosen: dict[str, Any]) -> bool:
    """Whether any filter was given."""
    return any(value for option, value in chosen.items() if option not in ("dry_run", "limit"))


async def run(
    queries: Queries,
    verb: str,
    past: str,
    as_json: bool,
    *,
    older_than: timedelta | None = None,
    states: tuple[str, ...] = (),
    dry_run: bool = False,
    **chosen: Any,
) -> int:
    """Do it to every job that matches, and say to how many."""
    before = None if older_than is None else datetime.now(timezone.utc) - older_than
    count = await queries.bulk(
        verb, states=states or None, created_before=before, dry_run=dry_run, **chosen
    )
    if as_json:
        print_json({f"would_{verb}" if dry_run else past: count})
    else:
        say(f"{f'would be {past}' if dry_run else past}: {count}")
    return 0


@command("delete")
@click.option("--all", "everything", is_flag=True, help="Every finished job.")
@filters(JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
@json_option
@with_queries
async def delete(queries: Queries, everything: bool, as_json: bool, **chosen: Any) -> int:
    """Delete finished jobs with their history."""
    if everything == named(chosen):
        raise click.UsageError("say which by filters, or --all")
    return await run(queries, "delete", "deleted", as_json, **chosen)


@command("redrive")
@click.option("--rate", type=click.FloatRange(0, min_open=True), required=True,
              help="So many jobs a second.")  # fmt: skip
@click.option("--queue", type=name, help="Only jobs of this queue.")
@click.option("--entrypoint", type=name, help="Only its jobs.")
@click.option("--limit", type=COUNT, default=10_000, show_default=True)
@json_option
@with_queries
async def redrive(queries: Queries, as_json: bool, **chosen: Any) -> None:
    """Run failed jobs again, oldest first, not all at once."""
    count = await queries.redrive(**chosen)
    if as_json:
        return print_json({"redriven": count})
    last = max(0, count - 1) / chosen["rate"]
    say(f"redriven: {count}, the last one is due in {last:.0f} s")
    return None
