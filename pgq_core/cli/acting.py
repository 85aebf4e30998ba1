"""retry and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import JOB_ID, name
from pgq_core.models import JobState
from pgq_core.queries import Queries

GOOD = {"retried", "would retry", "cancelled", "requested"}


@command("retry")
@click.argument("ids", type=JOB_ID, nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed job instead of IDS.")
@click.option("--entrypoint", type=name, help="Only its jobs, with --failed.")
@click.option("--queue", type=name, help="Only its jobs, with --failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be retried.")
@json_option
@with_queries
async def retry(
    queries: Queries,
    ids: Sequence[int],
    failed: bool,
    dry_run: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Run finished jobs again, with all their attempts."""
    if bool(ids) == failed or (ids and any(filters.values())):
        raise click.UsageError("give ids, or --failed with --entrypoint and --queue")
    if ids:
        return tell(await (would_retry(queries, ids) if dry_run else queries.retry(ids)), as_json)
    count = await queries.bulk("retry", dry_run=dry_run, **filters)
    if as_json:
        print_json({"would_retry" if dry_run else "retried": count})
    else:
        say(f"{'would be retried' if dry_run else 'retried'}: {count}")
    return 0


async def would_retry(queries: Queries, ids: Sequence[int]) -> dict[int, str]:
    """What a retry would say (a unique key held by another job is not foreseen)."""
    states = {row["id"]: row["state"] for row in await queries.call("cli_states", jobs=list(ids))}
    finished = {state.value for state in JobState if state.finished}
    return {
        job: "unknown" if job not in states
        else "would retry" if states[job] in finished
        else "running"
        for job in ids
    }  # fmt: skip


@command("cancel")
@click.argument("ids", type=JOB_ID, nargs=-1, required=True)
@click.option("--reason", help="Kept with the job.")
@json_option
@with_queries
async def cancel(queries: Queries, ids: Sequence[int], reason: str | None, as_json: bool) -> int:
    """Cancel jobs; a running one is asked to stop."""
    return tell(await queries.cancel(ids, reason), as_json)


def tell(verdicts: dict[int, str], as_json: bool) -> int:
    """What happened to each job; 1 when it is not what was asked."""
    if as_json:
        print_json({str(job): verdict for job, verdict in verdicts.items()})
    else:
        for job, verdict in verdicts.items():
            say(f"job {job}: {verdict}")
    return 0 if GOOD.issuperset(verdicts.values()) else 1
