"""retry, cancel, pause, resume, prune."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import click

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import JOB_ID, NAME
from pgq_core.models import JobState
from pgq_core.queries import Queries

PAGE = 500
DAYS = click.FloatRange(0, 36500)


@command("retry")
@click.argument("ids", type=JOB_ID, nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed job instead of IDS.")
@click.option("--entrypoint", type=NAME, help="Only its jobs, with --failed.")
@click.option("--queue", type=NAME, help="Only its jobs, with --failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be retried.")
@json_option
@with_queries
async def retry(
    queries: Queries,
    ids: Sequence[int],
    failed: bool,
    entrypoint: str | None,
    queue: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run finished jobs again, with all their attempts."""
    if bool(ids) == failed or (ids and (entrypoint or queue)):
        raise click.UsageError("give ids, or --failed with --entrypoint and --queue")
    verdicts: dict[int, str] = {}
    pages = failed_pages(queries, entrypoint, queue) if failed else one_page(ids)
    async for page in pages:
        verdicts |= await would_retry(queries, page) if dry_run else await queries.retry(page)
    tell(verdicts, as_json, summary=failed)
    good = {"retried", "would retry"}
    return 0 if failed or good.issuperset(verdicts.values()) else 1


async def one_page(ids: Sequence[int]) -> AsyncIterator[Sequence[int]]:
    """The ids given."""
    yield ids


async def failed_pages(
    queries: Queries, entrypoint: str | None, queue: str | None
) -> AsyncIterator[Sequence[int]]:
    """The ids of failed jobs; from the newest down, so that a retried one is not met again."""
    before: int | None = None
    while True:
        page = await queries.get_jobs(
            states=[JobState.FAILED], entrypoint=entrypoint, queue=queue, before=before, limit=PAGE
        )
        if not page:
            return
        before = page[-1].id
        yield [job.id for job in page]


async def would_retry(queries: Queries, ids: Sequence[int]) -> dict[int, str]:
    """What a retry would say, without its effects (a key held by another job is not foreseen)."""
    states = {row["id"]: row["state"] for row in await queries.call("cli_states", jobs=list(ids))}
    finished = {state.value for state in JobState if state.finished}
    return {
        id_: "unknown" if id_ not in states
        else "would retry" if states[id_] in finished
        else "running"
        for id_ in ids
    }  # fmt: skip


@command("cancel")
@click.argument("ids", type=JOB_ID, nargs=-1, required=True)
@click.option("--reason", help="Kept with the job.")
@json_option
@with_queries
async def cancel(queries: Queries, ids: Sequence[int], reason: str | None, as_json: bool) -> int:
    """Cancel jobs; a running one is asked to stop."""
    verdicts = await queries.cancel(ids, reason)
    tell(verdicts, as_json)
    return 0 if {"cancelled", "requested"}.issuperset(verdicts.values()) else 1


def tell(verdicts: dict[int, str], as_json: bool, summary: bool = False) -> None:
    """What happened to each job, or how often each thing happened."""
    if as_json:
        print_json({str(id_): verdict for id_, verdict in verdicts.items()})
    elif summary:
        counts = Counter(verdicts.values())
        say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no failed jobs")
    else:
        for id_, verdict in verdicts.items():
            say(f"job {id_}: {verdict}")


@command("pause")
@click.argument("queue", type=NAME)
@click.option("--entrypoint", type=NAME, help="Only this one in the queue.")
@with_queries
async def pause(queries: Queries, queue: str, entrypoint: str | None) -> None:
    """Start no more jobs of QUEUE; running ones go on."""
    await queries.pause(queue, entrypoint or "")
    say(f"paused: {entrypoint or 'everything'} in queue {queue!r}")


@command("resume")
@click.argument("queue", type=NAME)
@click.option("--entrypoint", type=NAME, help="Only this one in the queue.")
@with_queries
async def resume(queries: Queries, queue: str, entrypoint: str | None) -> None:
    """Start jobs of QUEUE again."""
    await queries.resume(queue, entrypoint or "")
    say(f"resumed: {entrypoint or 'everything'} in queue {queue!r}")


@command("prune")
@click.option("--succeeded-days", type=DAYS, default=7, show_default=True)
@click.option("--failed-days", type=DAYS, default=30, show_default=True)
@click.option("--cancelled-days", type=DAYS, default=7, show_default=True)
@json_option
@with_queries
async def prune(queries: Queries, as_json: bool, **days: float) -> None:
    """Delete finished jobs older than that, with their history."""
    ages: dict[str, Any] = {
        name.removesuffix("_days"): timedelta(days=value) for name, value in days.items()
    }
    gone = await queries.prune(**ages)
    if as_json:
        return print_json({"pruned": gone})
    say(f"{gone} jobs pruned")
    return None
