"""The figures against their targets, as one table."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One line of the table: what, how it is read from the results, and when it is good enough."""

    figure: str
    target: str
    needs: str
    value: Callable[[dict[str, Any]], float]
    good: Callable[[float], bool]
    show: Callable[[dict[str, Any]], str]


def rate(value: float) -> str:
    """Thousands a second."""
    return f"{value / 1000:.1f}k/s"


ROWS = [
    Row("drain, one process, against PgQueuer 1.6.0 at its best batch size", ">= 4 x", "drain",
        lambda r: r["ours"][0] / r["pgqueuer"][0], lambda v: v >= 4,
        lambda r: f"{rate(r['ours'][0])} ({r['ours'][1]} slots) against {rate(r['pgqueuer'][0])} "
                  f"(batch {r['pgqueuer'][1]})"),
    Row("drain against the raw SQL loop (claim and finish, no handlers)", ">= 0.6 x", "drain",
        lambda r: r["ours"][0] / r["raw"][0], lambda v: v >= 0.6,
        lambda r: f"{rate(r['ours'][0])} against {rate(r['raw'][0])}"),
    Row("single-job enqueue, 32 connections, worker running, against PgQueuer", ">= 4 x", "enqueue",
        lambda r: r["ours"] / r["pgqueuer"], lambda v: v >= 4,
        lambda r: f"{rate(r['ours'])} against {rate(r['pgqueuer'])}"),
    Row("the same against a plain INSERT into a one-index table", ">= 0.5 x", "enqueue",
        lambda r: r["ours"] / r["plain"], lambda v: v >= 0.5,
        lambda r: f"{rate(r['ours'])} against {rate(r['plain'])}"),
    Row("throughput under a held snapshot against free", ">= 0.95 x", "pinned",
        lambda r: r["reader"] / r["free"], lambda v: v >= 0.95,
        lambda r: f"{rate(r['reader'])} against {rate(r['free'])}, after {r['warm']:,} jobs"),
    Row("throughput beside an idle transaction that has written", ">= 0.8 x", "pinned",
        lambda r: r["writer"] / r["free"], lambda v: v >= 0.8,
        lambda r: f"{rate(r['writer'])} against {rate(r['free'])}"),
    Row("claim of 100 with a large backlog against 1k", "<= 1.3 x", "claims",
        lambda r: r["large"] / r["small"], lambda v: v <= 1.3,
        lambda r: f"{r['large']:.2f} ms with {r['rows']:,} ready and as many deferred, "
                  f"{r['small']:.2f} ms with 1k"),
    Row("claim of 100 ordinary jobs beside limits, keys, schedules, 5,000 blocked", "<= 1.1 x",
        "claims", lambda r: r["flow"] / r["small"], lambda v: v <= 1.1,
        lambda r: f"{r['flow']:.2f} ms against {r['small']:.2f} ms without"),
    Row("claim over 1,000 lanes, 990 empty, against ten", "<= 1.5 x", "claims",
        lambda r: r["thousand"] / r["ten"], lambda v: v <= 1.5,
        lambda r: f"{r['thousand']:.2f} ms against {r['ten']:.2f} ms"),
    Row("WAL per job, 200 B payload, history included", "<= 1,000 B", "footprint",
        lambda r: r["wal"], lambda v: v <= 1000, lambda r: f"{r['wal']:.0f} B"),
    Row("dead rows per job until retention, batches of 100", "<= 1.05", "footprint",
        lambda r: r["dead"], lambda v: v <= 1.05, lambda r: f"{r['dead']:.3f}"),
    Row("commit to handler, idle worker, p50", "<= 3 ms", "pickup",
        lambda r: r["idle_p50"], lambda v: v <= 3, lambda r: f"{r['idle_p50']:.1f} ms"),
    Row("commit to handler, idle worker, p99", "<= 10 ms", "pickup",
        lambda r: r["idle_p99"], lambda v: v <= 10, lambda r: f"{r['idle_p99']:.1f} ms"),
    Row("commit to handler, 10 producers that overlap, p99", "<= 25 ms", "pickup",
        lambda r: r["busy_p99"], lambda v: v <= 25,
        lambda r: f"{r['busy_p99']:.1f} ms (p50 {r['busy_p50']:.1f} ms)"),
    Row("transactions per job, 10 idle workers against one", "<= 1.3 x", "footprint",
        lambda r: r["ten"] / r["one"], lambda v: v <= 1.3,
        lambda r: f"{r['ten']:.1f} against {r['one']:.1f}"),
    Row("idle worker, beats included", "<= 1.5 tx/s", "footprint",
        lambda r: r["idle"], lambda v: v <= 1.5, lambda r: f"{r['idle']:.2f} tx/s"),
    Row("worker's memory, a million jobs waiting against a thousand", "<= +4 MB", "memory",
        lambda r: r["many"] - r["few"], lambda v: v <= 4,
        lambda r: f"{r['many']:.1f} MB with {r['waiting']:,} waiting, {r['few']:.1f} MB with 1k"),
    Row("SIGKILL to the next start of each of its jobs, worst", "<= 1 s", "recovery",
        lambda r: r["max"], lambda v: v <= 1, lambda r: f"{r['max']:.2f} s (p50 {r['p50']:.2f} s)"),
]  # fmt: skip


def table(results: Results) -> str:
    """Markdown; a row whose figures are missing says so."""
    lines = ["| figure | target | ratio or value | measured | met |", "|---|---|---|---|---|"]
    for row in ROWS:
        if row.needs not in results:
            continue
        try:
            value = row.value(results[row.needs])
            shown, met = row.show(results[row.needs]), "yes" if row.good(value) else "**no**"
            lines.append(f"| {row.figure} | {row.target} | {value:.2f} | {shown} | {met} |")
        except KeyError:
            lines.append(f"| {row.figure} | {row.target} | – | the peer is not installed | – |")
    return "\n".join(lines)


def conditions(server: str, long: bool, rounds: int) -> str:
    """Where and how it was measured."""
    kind = "long" if long else "short"
    return (
        f"Measured on {datetime.now(timezone.utc).date().isoformat()}: {server}, Python {platform.python_version()}, "
        f"{platform.machine()}, {_cores()} cores shared by server, producers and workers; "
        f"fsync and synchronous_commit on, shared_buffers 512 MB; {kind} run, medians of "
        f"{rounds} interleaved rounds. The machine is noisy: read ratios, not absolutes."
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
