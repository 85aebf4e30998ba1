"""What the tests of flow do with the SQL verbs, beyond `tests.sql.verbs`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pgq_core.models import NewJob
from tests.sql import verbs
from tests.sql.verbs import Claim, Taken

_tokens = itertools.count(1_000_000)


async def limit(
    on: Any,
    entrypoint: str = "work",
    concurrency: int | None = None,
    rate: int | None = None,
    period: float | None = None,
    burst: int = 1,
    per_key: bool = False,
) -> None:
    """Declare the limits of one entrypoint, as a worker does when it starts."""
    await verbs.call(
        on, "declare_limits", unlimited=[], entrypoints=[entrypoint], concurrencies=[concurrency],
        rates=[rate], periods=[period], bursts=[burst], per_keys=[per_key],
    )  # fmt: skip


async def keyed(on: Any, keys: Iterable[str], entrypoint: str = "work", **fields: Any) -> list[int]:
    """Enqueue one job per key given, in that order."""
    wanted = list(keys)
    return await verbs.enqueue(on, entrypoint, len(wanted), concurrency_keys=wanted, **fields)


async def claim_limited(
    on: Any, count: int = 10, *, worker: int = 1, cap: int = 5, entrypoint: str | None = None
) -> Claim:
    """Claim jobs under limits and keys, of one entrypoint or all, as a worker does."""
    lanes = await on.fetch(
        "SELECT lane_id, kind, entrypoint FROM pgq_lanes "
        "WHERE kind <> 'alone' AND ($1::text IS NULL OR entrypoint = $1) "
        "GROUP BY lane_id, kind, entrypoint, priority ORDER BY priority, kind <> 'next', min(id)",
        entrypoint,
    )
    token = next(_tokens)
    rows = await verbs.call(
        on, "claim_limited", worker=worker, token=token, count=count,
        lanes=[row["lane_id"] for row in lanes], floors=[0] * len(lanes), kinds=[row["kind"] for row in lanes],
        entrypoints=[row["entrypoint"] for row in lanes], caps=[cap] * len(lanes),
    )  # fmt: skip
    status = json.loads(rows.pop()["status"])
    return Claim([taken(row, worker, token) for row in rows], status)


def taken(row: Any, worker: int, token: int) -> Taken:
    """A claimed job as the verbs know it."""
    return Taken(
        row["job_id"], row["attempt"], row["lane_id"], row["position"], row["lease_id"], token,
        worker, row["spent"], row["crashes"], row["cap"], row["entrypoint"], row["payload"],
    )  # fmt: skip


async def finish(
    on: Any, jobs: Taken | Sequence[Taken], outcome: str = "succeeded", **rest: Any
) -> None:
    """Write one outcome for jobs under limits; none may be refused."""
    assert await verbs.finish(on, jobs, outcome, limited=True, **rest) == {}


async def run(on: Any, fates: dict[int, str], result: str | None = None) -> None:
    """Claim every ordinary job that is ready, which must be these, and write their outcomes."""
    found = {job.job_id: job for job in (await verbs.claim(on, 10_000)).jobs}
    assert found.keys() == fates.keys()
    for outcome in dict.fromkeys(fates.values()):
        jobs = [job for id_, job in found.items() if fates[id_] == outcome]
        last = outcome == list(fates.values())[-1]
        assert await verbs.finish(on, jobs, outcome, shut=last, result=result) == {}


async def add(on: Any, *jobs: NewJob) -> list[int]:
    """Enqueue jobs in one call; their ids."""
    return [made.id for made in await verbs.queries(on).enqueue_many(jobs)]


async def holders(on: Any) -> dict[str, list[int]]:
    """Scope → the jobs that hold a place in it."""
    rows = await on.fetch("SELECT scope, job_id FROM pgq_holders ORDER BY job_id")
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["scope"], []).append(row["job_id"])
    return found


async def sweep(on: Any) -> int:
    """Sweep over everything, whoever swept a moment ago; how many jobs that set going."""
    row = (await verbs.call(on, "sweep", place=None, apart=0))[0]
    return int(row["moved"])
