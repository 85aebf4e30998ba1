"""batch: add, show; chain."""

from __future__ import annotations

from typing import Any, TextIO

import click

from pgq_core.app import PgQueuer
from pgq_core.cli.group import DatabaseGroup, command, json_option, with_queries
from pgq_core.cli.lines import read_callback, read_jobs
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import JOB_ID
from pgq_core.queries import Queries

FILE = click.File("r", "utf-8", "surrogateescape")
JOBS = click.argument("jobs", type=FILE, default="-", metavar="[FILE]")


@click.group("batch", cls=DatabaseGroup)
def batch() -> None:
    """Enqueue jobs that belong together, and see how far they are."""


@command("add")
@JOBS
@click.option("--on-done", metavar="JOB", help="Runs when all have ended. A name, or JSON.")
@click.option("--on-success", metavar="JOB", help="Runs when all have succeeded.")
@click.option("--on-failure", metavar="JOB", help="Runs once one has failed.")
@json_option
@with_queries
async def add(queries: Queries, jobs: TextIO, as_json: bool, **callbacks: str | None) -> None:
    """Enqueue the jobs of FILE (default: stdin), one to a line, as JSON:

    {"entrypoint": "resize", "payload": {"image": 7}, "priority": 1}
    """
    options: dict[str, Any] = {
        name: read_callback(text, f"--{name.replace('_', '-')}") for name, text in callbacks.items()
    }
    async with registry_of(queries).batch(**options) as made:
        for job in read_jobs(jobs):
            made.add(job)
    if as_json:
        return print_json(
            {"id": made.id, "job_ids": made.job_ids, "callback_ids": made.callback_ids}
        )
    say(f"batch {made.id}: {listed(made.job_ids)}")
    if made.callback_ids:
        say(f"callbacks: {listed(made.callback_ids)}")
    return None


@command("show")
@click.argument("id", type=JOB_ID)
@json_option
@with_queries
async def show(queries: Queries, id: int, as_json: bool) -> None:
    """Say how many jobs of batch ID have ended, and how."""
    progress = await queries.batch_progress(id)
    counts: dict[str, Any] = {**progress._asdict(), "open": progress.open}
    if as_json:
        return print_json({"id": id, **counts, "done": progress.done})
    say(", ".join(f"{name} {count}" for name, count in counts.items() if count or name != "pruned"))
    return None


@command("chain")
@JOBS
@json_option
@with_queries
async def chain(queries: Queries, jobs: TextIO, as_json: bool) -> None:
    """Enqueue jobs that run one after the other.

    FILE (default: stdin) holds one to a line, as for `batch add`.
    """
    ids = await registry_of(queries).chain(*read_jobs(jobs))
    print_json({"job_ids": ids}) if as_json else say(f"chain: {listed(ids)}")


def registry_of(queries: Queries) -> PgQueuer:
    """A PgQueuer that knows no handlers, on this database."""
    return PgQueuer(queries.driver, schema=queries.schema)


def listed(ids: list[int]) -> str:
    """Their ids, the first and the last where there are many."""
    if len(ids) > 10:
        return f"{len(ids)} jobs, {ids[0]} to {ids[-1]}"
    return f"{'job' if len(ids) == 1 else 'jobs'} {', '.join(map(str, ids))}"


for _command in (add, show):
    batch.add_command(_command)
