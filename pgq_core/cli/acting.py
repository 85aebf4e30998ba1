"""retry and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pgq_core.cli import bulk
from pgq_core.cli.bulk import filters, named
from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import JOB_ID
from pgq_core.models import JobState
from pgq_core.queries import Queries

GOOD = {"retried", "would retry", "cancelled", "requested"}


@command("retry")
@click.argument("ids", type=JOB_ID, nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed job instead of IDS; see the filters.")
@filters()
@json_option
@with_queries
async def retry(
    queries: Queries,
    ids: Sequence[int],
    failed: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Run finished jobs again, with all their attempts."""
    if bool(ids) == failed or (ids and any(chosen.values())):
        raise click.UsageError("give ids, or --failed with filters")
    if ids:
        return tell(await (would_retry(queries, ids) if dry_run else queries.retry(ids)), as_json)
    return await bulk.run(queries, "retry", "retried", as_json, dry_run=dry_run, **chosen)


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
@click.argument("ids", type=JOB_ID, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every unfinished job instead of IDS.")
@filters(JobState.READY, JobState.DEFERRED, JobState.BLOCKED, JobState.RUNNING)
@click.option("--reason", help="Kept with the job.")
@json_option
@with_queries
async def cancel(
    queries: Queries,
    ids: Sequence[int],
    everything: bool,
    reason: str | None,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Cancel jobs; a running one is asked to stop."""
    if [bool(ids), everything, named(chosen)].count(True) != 1 or (ids and any(chosen.values())):
        raise click.UsageError("give ids, or filters, or --all")
    if ids:
        return tell(await queries.cancel(ids, reason), as_json)
    return await bulk.run(queries, "cancel", "cancelled", as_json, reason=reason, **chosen)


def tell(verdicts: dict[int, str], as_json: bool) -> int:
    """What happened to each job; 1 when it is not what was asked."""
    if as_json:
        print_json({str(job): verdict for job, verdict in verdicts.items()})
    else:
        for job, verdict in verdicts.items():
            say(f"job {job}: {verdict}")
    return 0 if GOOD.issuperset(verdicts.values()) else 1
