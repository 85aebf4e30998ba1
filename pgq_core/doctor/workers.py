"""Workers and the jobs they should run."""

from __future__ import annotations

from collections.abc import Iterator

from pgq_core.doctor.check import Seen
from pgq_core.doctor.finding import Finding, Severity
from pgq_core.doctor.words import rescue, span


def unserved(seen: Seen) -> Iterator[Finding]:
    """Jobs that nobody is there to run."""
    if seen.rows and not seen.rows[0]["live_workers"]:
        names = ", ".join(sorted({row["entrypoint"] for row in seen.rows}))
        yield Finding(
            "no_worker", Severity.ERROR,
            f"jobs wait ({names}), and no worker is alive",
            "start one: pgq-core worker module:pgq",
            {"entrypoints": sorted({row["entrypoint"] for row in seen.rows})},
        )  # fmt: skip
        return
    for row in seen.rows:
        yield Finding(
            "unserved", Severity.ERROR,
            f"{row['waiting']} jobs of {row['entrypoint']!r} wait in queue {row['queue']!r}, which "
            "no live worker serves for that entrypoint",
            f"start a worker that registers {row['entrypoint']!r} with --queues {row['queue']}; an "
            "old name can be served by aliases=; or cancel them: pgq-core cancel",
            dict(row),
        )  # fmt: skip


def paused(seen: Seen) -> Iterator[Finding]:
    """Jobs that wait because somebody said so."""
    for row in seen.rows:
        where, name = "every queue", ""
        if row["queue"]:
            where, name = f"queue {row['queue']!r}", f" {row['queue']}"
        only = f" --entrypoint {row['entrypoint']}" if row["entrypoint"] else ""
        yield Finding(
            "paused", Severity.INFO,
            f"{row['entrypoint'] or 'everything'} in {where} has been paused for "
            f"{span(row['seconds'])}, and jobs wait",
            f"pgq-core resume{name}{only}",
            dict(row),
        )  # fmt: skip


def overdue(seen: Seen) -> Iterator[Finding]:
    """Jobs that should have started long ago."""
    for row in seen.rows:
        yield Finding(
            "overdue", Severity.WARNING,
            f"{row['entrypoint']!r} in queue {row['queue']!r}, priority {row['priority']}: the "
            f"oldest job ({row['job_id']}) has been due for {span(row['seconds'])}",
            "more workers, a higher --concurrency, or a lower number as priority; `pgq-core stats` "
            "shows who is busy",
            dict(row),
        )  # fmt: skip


def silent(seen: Seen) -> Iterator[Finding]:
    """Workers that have stopped beating."""
    for row in seen.rows:
        holding = row["leases"] > 0
        yield Finding(
            "worker_silent", Severity.ERROR if holding else Severity.WARNING,
            f"worker {row['worker_id']} ({row['name']}) has not beaten for {span(row['seconds'])} "
            f"(its lease: {row['lease_seconds']:g} s)"
            + (f" and holds {row['leases']} leases" if holding else ""),
            "any running worker takes its jobs over; if one runs and this stays, do it by hand: "
            f"{rescue(seen.schema, row['worker_id'])}",
            dict(row),
        )  # fmt: skip


def stalled(seen: Seen) -> Iterator[Finding]:
    """Workers that live but do not get on."""
    for row in seen.rows:
        yield Finding(
            "worker_stalled", Severity.WARNING,
            f"worker {row['worker_id']} ({row['name']}): its event loop has been blocked for "
            f"{span(row['seconds'])}, with {row['running']} jobs running",
            "an `async def` handler makes a call that blocks: write it as a plain `def` (it gets a "
            "thread), or wrap the call in asyncio.to_thread",
            dict(row),
        )  # fmt: skip


def deaf(seen: Seen) -> Iterator[Finding]:
    """Workers that poll: behind a pooler, or because what should arrive does not."""
    for row in seen.rows:
        name, polls = f"worker {row['worker_id']} ({row['name']})", row["listener"] == "polling"
        if polls:
            yield Finding(
                "worker_polling", Severity.INFO,
                f"{name} polls, since no notifications arrive through its pooler; it is noticed "
                "dead only after its lease time",
                "give it a direct line beside the pooler: --listen-dsn, or run(listen_dsn=…); or "
                "say that polling is meant: --no-listen",
                dict(row),
            )  # fmt: skip
        else:
            yield Finding(
                "worker_deaf", Severity.WARNING,
                f"{name} should hear notifications and does not; it polls, and is noticed dead "
                "only after its lease time",
                "its --listen-dsn must lead to the server itself, not to a pooler; where that "
                "cannot be, say that polling is meant: --no-listen",
                dict(row),
            )  # fmt: skip


def leases(seen: Seen) -> Iterator[Finding]:
    """Jobs that seem to run, and nobody runs them."""
    for row in seen.rows:
        yield Finding(
            "orphaned_lease", Severity.ERROR,
            f"{row['jobs']} jobs are leased to worker {row['worker_id']}, which does not exist, "
            f"since {span(row['seconds'])}",
            "a running worker takes them back within a minute or two; at once: "
            f"{rescue(seen.schema, row['worker_id'])}",
            dict(row),
        )  # fmt: skip
