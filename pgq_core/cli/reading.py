"""jobs, show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import (
    age,
    attempt_facts,
    job_facts,
    print_json,
    print_table,
    say,
    short,
    shown,
    span,
)
from pgq_core.cli.types import JOB_ID, name
from pgq_core.models import Attempt, Job, JobState
from pgq_core.queries import Queries

STATES = click.Choice([state.value for state in JobState])


@command("jobs")
@click.option("--state", "states", type=STATES, multiple=True, help="May be repeated.")
@click.option("--queue", type=name)
@click.option("--entrypoint", type=name)
@click.option("--unique-key", type=name)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--before", type=JOB_ID, help="The page after this id.")
@json_option
@with_queries
async def jobs(
    queries: Queries, states: Sequence[str], limit: int, as_json: bool, **filters: Any
) -> None:
    """List jobs, newest first."""
    found = await queries.get_jobs(states=states or None, limit=limit, **filters)
    if as_json:
        return print_json([job_facts(job) for job in found])
    print_table(("id", "state", "entrypoint", "queue", "priority", "attempt", "due", "created"),
                map(_row, found))  # fmt: skip
    if len(found) == limit:
        say(f"there may be more: --before {found[-1].id}")
    return None


def _row(job: Job) -> tuple[Any, ...]:
    waits = job.state is JobState.DEFERRED
    return (
        job.id, job.state.value, job.entrypoint, job.queue, job.priority,
        f"{job.attempt}", age(job.run_at) if waits else "", age(job.created_at),
    )  # fmt: skip


@command("show")
@click.argument("id", type=JOB_ID)
@json_option
@with_queries
async def show(queries: Queries, id: int, as_json: bool) -> None:
    """Show one job and its attempts, tracebacks included."""
    job = await queries.get_job(id)
    attempts = await queries.get_attempts(id)
    fraction, message = await queries.get_progress(id) or (None, None)
    if as_json:
        return print_json({
            **job_facts(job),
            "progress": {"fraction": fraction, "message": message},
            "attempts": [attempt_facts(attempt) for attempt in attempts],
        })  # fmt: skip
    for fact, value in job_facts(job).items():
        if fact not in ("error", "started_at", "finished_at") and value not in (None, "", {}):
            say(f"{fact + ':':17}{short(shown(value))}")
    if fraction is not None or message is not None:
        say(f"{'progress:':17}{shown(fraction)} {shown(message)}".rstrip())
    for attempt in attempts:
        _print_attempt(attempt)
    return None


def _print_attempt(attempt: Attempt) -> None:
    ran = ""
    if attempt.started_at is not None:
        ran = f", ran {span((attempt.finished_at - attempt.started_at).total_seconds())}"
    who = "" if attempt.worker_id is None else f", worker {attempt.worker_id}"
    say(f"\nattempt {attempt.attempt}: {attempt.outcome} {shown(attempt.finished_at)}{ran}{who}")
    error = attempt.error or {}
    if error:
        text = error.get("traceback") or f"{error.get('type')}: {error.get('message')}"
        say("\n".join(f"  {line}" for line in str(text).rstrip().splitlines()))
