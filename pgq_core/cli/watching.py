"""stats and health."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import click

from pgq_core.cli.failures import IMPOSSIBLE, complain, text_of
from pgq_core.cli.group import Where, command, json_option, with_queries
from pgq_core.cli.maintain import rule_text
from pgq_core.cli.output import print_json, print_table, say, span
from pgq_core.cli.types import duration
from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError
from pgq_core.models import JobState
from pgq_core.queries import Queries


@command("stats")
@json_option
@with_queries
async def stats(queries: Queries, as_json: bool) -> None:
    """Count jobs by entrypoint and state, and list workers and pauses."""
    counts = await queries.counts()
    workers = await queries.workers()
    paused = [dict(row) for row in await queries.call("cli_paused")]
    if as_json:
        return print_json({"jobs": counts, "workers": workers, "paused": paused})
    print_counts(counts) if counts else say("no jobs")
    say("")
    print_workers(workers) if workers else say("no workers")
    for rule in paused:
        say(f"paused: {rule_text(rule['queue'], rule['entrypoint'])}")
    return None


def print_counts(counts: dict[str, dict[str, int]]) -> None:
    """One row per entrypoint, one column per state that occurs."""
    present = {state for states in counts.values() for state in states}
    columns = [state.value for state in JobState if state.value in present]
    print_table(
        ("entrypoint", *columns),
        [(name, *(states.get(column, 0) for column in columns)) for name, states in counts.items()],
    )


def print_workers(workers: list[dict[str, Any]]) -> None:
    """One row per process."""
    print_table(
        ("worker", "name", "state", "concurrency", "queues", "beat", "listener"),
        [
            (
                w["worker_id"], w["name"], worker_state(w), w["info"].get("concurrency"),
                ", ".join(w["info"].get("queues") or ["all"]), f"{span(w['beat_age'])} ago",
                w["listener"],
            )
            for w in workers
        ],
    )  # fmt: skip


def worker_state(worker: dict[str, Any]) -> str:
    """Alive, stalled (its loop is blocked) or dead (no beat for a lease time)."""
    if worker["beat_age"] > worker["lease_seconds"]:
        return "dead"
    return "stalled" if worker["stalled_seconds"] > 0 else "alive"


@command("health")
@click.option("--max-age", type=duration, default="5m", show_default=True,
              help="The oldest ready job may have waited that long.")  # fmt: skip
@click.option("--max-failed", type=click.IntRange(0), help="Failed jobs allowed per hour.")
@json_option
@click.pass_obj
def health(where: Where, max_age: timedelta, max_failed: int | None, as_json: bool) -> int:
    """For monitoring: 0 well, 1 degraded, 2 unreachable or not installed."""
    try:
        facts = asyncio.run(look(where))
    except (DatabaseError, asyncpg.PostgresError, *DISCONNECTED) as error:
        complain(text_of(error))
        if as_json:
            print_json({"status": "unreachable", "problems": [text_of(error)]})
        return IMPOSSIBLE
    problems = find_problems(facts, max_age.total_seconds(), max_failed)
    status = "degraded" if problems else "ok"
    if as_json:
        print_json({"status": status, "problems": problems, **facts})
    else:
        say("; ".join([status, *problems, *find_notes(facts)]))
    return 1 if problems else 0


async def look(where: Where) -> dict[str, Any]:
    """The facts from the database, whose tables must be this program's."""
    pgq = where.registry()
    async with where.connected(pgq):
        await pgq.queries.check()
        return await pgq.queries.health()


def find_problems(facts: dict[str, Any], max_age: float, max_failed: int | None) -> list[str]:
    """What somebody should look at."""
    problems = []
    if not facts["workers"]:
        problems.append("no worker is alive")
    if facts["stalled_workers"]:
        problems.append(f"{facts['stalled_workers']} workers are stalled (their loop is blocked)")
    if facts["deaf_workers"]:
        problems.append(f"{facts['deaf_workers']} workers should hear notifications and do not")
    waited = facts["oldest_ready"] or 0.0
    if waited > max_age:
        problems.append(f"the oldest ready job has waited {span(waited)}")
    if max_failed is not None and facts["failed_last_hour"] > max_failed:
        problems.append(f"{facts['failed_last_hour']} jobs failed in the last hour")
    return problems


def find_notes(facts: dict[str, Any]) -> list[str]:
    """What is as it should be, and still worth a word."""
    polling = facts["polling_workers"]
    return [f"{polling} polling (a pooler, or --no-listen)"] if polling else []
