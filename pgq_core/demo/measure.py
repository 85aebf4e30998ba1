"""What came out, from the database, against a plain loop over the same files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgq_core.demo.files import Digest, Files, plain_loop
from pgq_core.demo.report import Recovery, Report
from pgq_core.demo.tasks import HASH, PING
from pgq_core.queries import Queries
from pgq_core.queries.rows import decoded


@dataclass(frozen=True)
class Kill:
    """Which worker was killed, and when by the database's clock."""

    worker_id: int
    at: datetime


async def measure(
    queries: Queries, files: Files, paths: Mapping[int, str], killed: Kill | None
) -> Report:
    """Everything the table shows; `paths` says which job was for which file."""
    started = time.monotonic()
    expected = await asyncio.to_thread(plain_loop, files.paths)
    plain_seconds = time.monotonic() - started
    busy, idle = await pickup(queries, HASH), await pickup(queries, PING)
    found = await queries.call("demo_results", entrypoint=HASH)
    results = {paths[row["id"]]: decoded(row["result"]) for row in found}
    return Report(
        files=len(files.paths),
        skipped=files.skipped,
        bytes=sum(digest.bytes for digest in expected.values() if digest),
        lines=sum(digest.lines for digest in expected.values() if digest),
        differing=differing(expected, results),
        plain_loop_seconds=plain_seconds,
        queueing=busy,
        pickup=idle,
        recovery=await recovery(queries, killed),
        **dict((await queries.call("demo_totals", entrypoint=HASH))[0]),
    )


async def pickup(queries: Queries, entrypoint: str) -> tuple[float | None, float | None]:
    """From enqueue to start, p50 and p99."""
    row = (await queries.call("demo_pickup", entrypoint=entrypoint))[0]
    return row["p50"], row["p99"]


async def recovery(queries: Queries, killed: Kill | None) -> Recovery | None:
    """How long the killed worker's jobs were away."""
    if killed is None:
        return None
    rows = await queries.call("demo_recovery", worker=killed.worker_id, killed_at=killed.at)
    return Recovery(**rows[0])


def differing(
    expected: Mapping[str, Digest | None], results: Mapping[str, dict[str, Any] | None]
) -> list[str]:
    """The files whose result is missing or not what the plain loop found."""
    return [
        path
        for path, digest in expected.items()
        if results.get(path) != (digest and digest._asdict())
    ]
