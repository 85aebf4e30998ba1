"""The SQL verbs on one connection, with defaults a test need not mention.

Nothing here remembers anything: who calls what on which connection stays visible in the test.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from pgq_core.db import AsyncpgDriver
from pgq_core.queries import Queries
from pgq_core.sql import load
from tests.support import eventually

SCHEMA = "public"
BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)
END = 2**63 - 1
NO_TIME = timedelta(0)
ANY_AGE: dict[str, Any] = dict.fromkeys(("succeeded", "failed", "cancelled"), NO_TIME)
AGAIN = ("retry", "snooze", "interrupted")
UNDO = "ROLLBACK"
KEEP = "COMMIT"

_tokens = itertools.count(1000)


@dataclass(frozen=True)
class Taken:
    """One claimed job with its fence."""

    job_id: int
    attempt: int
    lane_id: int
    position: int
    lease_id: int
    token: int
    worker: int
    spent: int
    crashes: int
    cap: int
    entrypoint: str
    payload: bytes | None


@dataclass(frozen=True)
class Claim:
    """What one claim gave."""

    jobs: list[Taken]
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        return [job.job_id for job in self.jobs]

    @property
    def positions(self) -> list[int]:
        return [job.position for job in self.jobs]


def queries(on: Any, schema: str = SCHEMA) -> Queries:
    """The public verbs on this connection."""
    return Queries(AsyncpgDriver(on), schema)


async def call(on: Any, name: str, /, schema: str = SCHEMA, **values: Any) -> list[Any]:
    """Run `<name>.sql`; parameters left out are NULL, misspelt ones are an error."""
    statement = load(name, schema)
    assert not values.keys() - set(statement.names), (name, statement.names)
    rows: list[Any] = await on.fetch(
        statement.text, *statement.bind({**dict.fromkeys(statement.names), **values})
    )
    return rows


# -- jobs -----------------------------------------------------------------------------------


async def enqueue(on: Any, entrypoint: str = "work", count: int = 1, **fields: Any) -> list[int]:
    """Enqueue `count` jobs in one call and return their ids."""
    return await queries(on).enqueue([entrypoint] * count, **fields)


async def insert(on: Any, entrypoint: str = "work", count: int = 1) -> None:
    """Many jobs by one plain INSERT, faster than through Python."""
    await on.execute(
        "INSERT INTO pgq_jobs (entrypoint) SELECT $1 FROM generate_series(1, $2)", entrypoint, count
    )


async def states(on: Any, ids: Iterable[int] | None = None) -> dict[int, str]:
    """Job id → the state a user sees."""
    rows = await on.fetch(
        """
        SELECT id, state FROM pgq_job_states
        WHERE $1::bigint [] IS NULL OR id = ANY($1)
        ORDER BY id
        """,
        None if ids is None else list(ids),
    )
    assert len({row["id"] for row in rows}) == len(rows), "a job stands in the view twice"
    return {row["id"]: row["state"] for row in rows}


async def state(on: Any, job: int) -> str:
    """The state of one job."""
    return (await states(on, [job]))[job]


async def outcomes(on: Any, job: int) -> list[tuple[int, str]]:
    """(attempt, outcome) of every attempt."""
    return [(row["attempt"], row["outcome"]) for row in await call(on, "get_attempts", id=job)]


async def pointer(on: Any, job: int) -> dict[str, Any] | None:
    """Where a waiting job stands: table, lane, attempt, spent, crashes, run_at."""
    rows = await on.fetch(
        """
        SELECT 'ready' AS place, lane_id, attempt, spent, crashes, NULL::timestamptz AS run_at
        FROM pgq_ready WHERE job_id = $1
        UNION ALL
        SELECT 'deferred', lane_id, attempt, spent, crashes, run_at
        FROM pgq_deferred WHERE job_id = $1
        """,
        job,
    )
    assert len(rows) <= 1, f"job {job} has {len(rows)} pointers"
    return dict(rows[0]) if rows else None


async def lane(on: Any, entrypoint: str = "work", priority: int = 5, kind: str = "plain") -> int:
    """The id of a lane in the default queue."""
    return int(
        await on.fetchval("SELECT pgq_lane_id('default', $1, $2, $3)", entrypoint, priority, kind)
    )


async def lanes(on: Any) -> list[int]:
    """Every lane in the directory, by priority, then by age."""
    rows = await on.fetch(
        "SELECT lane_id FROM pgq_lanes GROUP BY lane_id, priority ORDER BY priority, min(id)"
    )
    return [row["lane_id"] for row in rows]


async def count(on: Any, table: str) -> int:
    """How many rows a table has."""
    return int(await on.fetchval(f"SELECT count(*) FROM {table}"))


async def held_keys(on: Any) -> dict[str, int]:
    """Unique key → the job that holds it."""
    rows = await on.fetch("SELECT unique_key, job_id FROM pgq_locks")
    return {row["unique_key"]: row["job_id"] for row in rows}


# -- claim, finish, rescue --------------------------------------------------------------------


async def claim(
    on: Any,
    count: int = 10,
    *,
    worker: int = 1,
    of: Sequence[int] | None = None,
    starts: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
    cap: int = 5,
    **rest: Any,
) -> Claim:
    """Claim from the lanes given (default: all, by priority), from their starts to their ends."""
    wanted = list(await lanes(on) if of is None else of)
    values = claim_values(wanted, worker=worker, count=count, cap=cap)
    values |= {name: list(given) for name, given in (("starts", starts), ("ends", ends)) if given}
    values |= rest
    rows = await call(on, "claim", **values)
    status = json.loads(rows.pop()["status"])
    return Claim([taken_of(row, worker, values["token"]) for row in rows], status)


def claim_values(wanted: list[int], *, worker: int, count: int, cap: int = 5) -> dict[str, Any]:
    """The arguments of a plain claim: whole lanes, no look, no floors."""
    return {
        "worker": worker,
        "token": next(_tokens),
        "count": count,
        "lanes": wanted,
        "starts": [0] * len(wanted),
        "ends": [END] * len(wanted),
        "caps": [cap] * len(wanted),
        "single": [],
        "floor_lanes": [],
        "floors": [],
        "settled": 0,
        "settle_xid": 0,
        "force_xid": False,
        "look": False,
        "due_from": BEGINNING,
        "due_settle": END,
        "idle_ms": None,
    }


async def look(on: Any, *, worker: int = 1, **rest: Any) -> dict[str, Any]:
    """A claim that takes nothing and looks: promotes, and says what else is going on."""
    found: dict[str, Any] = (await claim(on, 0, worker=worker, look=True, **rest)).status["look"]
    return found


def stranger(job: Taken) -> Taken:
    """The same job under a lease that nobody knows."""
    return replace(job, lease_id=4711, token=4711)


def taken_of(row: Any, worker: int, token: int) -> Taken:
    """A row of a claim."""
    return Taken(
        row["job_id"], row["attempt"], row["lane_id"], row["position"], row["lease_id"], token,
        worker, row["spent"], row["crashes"], row["cap"], row["entrypoint"], row["payload"],
    )  # fmt: skip


async def finish(
    on: Any,
    jobs: Taken | Sequence[Taken],
    outcome: str = "succeeded",
    *,
    shut: bool = True,
    delay: float = 0.0,
    spent: int | None = None,
    crashes: int | None = None,
    error: str | None = None,
    result: str | None = None,
    **rest: Any,
) -> dict[int, str]:
    """Write one outcome for these jobs; `shut`: their leases end here. Returns what was refused."""
    batch = [jobs] if isinstance(jobs, Taken) else list(jobs)
    leases = {job.lease_id: job.token for job in batch}
    ids, tokens = list(leases), list(leases.values())
    values: dict[str, Any] = {
        "worker": batch[0].worker,
        "shut": ids if shut else [],
        "shut_tokens": tokens if shut else [],
        "open": [] if shut else ids,
        "open_tokens": [] if shut else tokens,
        "leases": [job.lease_id for job in batch],
        "jobs": [job.job_id for job in batch],
        "attempts": [job.attempt for job in batch],
        "outcomes": [outcome] * len(batch),
        "started": [0.01] * len(batch),
        "finished": [0.0] * len(batch),
        "errors": [error] * len(batch),
        "results": [result] * len(batch),
        "lanes": [job.lane_id for job in batch],
        "delays": [delay] * len(batch),
        "spent": [job.spent if spent is None else spent for job in batch],
        "crashes": [job.crashes if crashes is None else crashes for job in batch],
        "keyed": True,
        "requeue": outcome in AGAIN,
    }
    rows = await call(on, "finish", **values | rest)
    return {row["refused"]: row["reason"] for row in rows}


async def worked(on: Any, outcome: str = "succeeded", **fields: Any) -> int:
    """Enqueue one job, run it to this outcome and return its id."""
    (job,) = await enqueue(on, **fields)
    (taken,) = (await claim(on, 1)).jobs
    assert taken.job_id == job
    assert await finish(on, taken, outcome) == {}
    return job


async def register(on: Any, name: str = "worker", lease: float = 15.0) -> int:
    """Register a worker process and return its id."""
    row = (await call(on, "register_worker", name=name, lease=lease, info="{}"))[0]
    return int(row["worker_id"])


async def silence(on: Any, *workers: int) -> None:
    """Let these workers' last beats lie an hour back."""
    await on.execute(
        "UPDATE pgq_workers SET beat_at = beat_at - interval '1 hour' WHERE worker_id = ANY($1)",
        list(workers),
    )


async def rescue(on: Any, *workers: int) -> dict[int, str]:
    """Take back what these workers held, if they are dead. Returns job → what was decided."""
    rows = await call(on, "rescue", workers=list(workers))
    return {row["job_id"]: row["outcome"] for row in rows}


async def crashed(on: Any, taken: Taken, worker: int) -> str:
    """The worker that holds this job is gone; says what its rescue decided."""
    await silence(on, worker)
    return (await rescue(on, worker))[taken.job_id]


async def cancel(on: Any, *jobs: int, reason: str | None = None) -> dict[int, str]:
    """Cancel jobs. Returns job → what happened to it."""
    rows = await call(on, "cancel", jobs=list(jobs), reason=reason)
    return {row["job_id"]: row["verdict"] for row in rows}


async def retry(on: Any, *jobs: int) -> dict[int, str]:
    """Put finished jobs back. Returns job → what happened to it."""
    rows = await call(on, "retry", jobs=list(jobs))
    return {row["job_id"]: row["verdict"] for row in rows}


# -- interleavings ----------------------------------------------------------------------------


@asynccontextmanager
async def held(on: Any, isolation: str | None = None, end: str = KEEP) -> AsyncIterator[None]:
    """A transaction that stays open for the block, then ends as told."""
    await on.execute(f"BEGIN ISOLATION LEVEL {isolation or 'READ COMMITTED'}")
    try:
        yield
    except BaseException:
        await on.execute(UNDO)
        raise
    await on.execute(end)


@asynccontextmanager
async def waiting(observer: Any, on: Any, work: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """`work` runs on connection `on`; the block begins once it waits for a lock."""
    task = asyncio.ensure_future(work)
    pid = on.get_server_pid()

    async def waits() -> bool:
        assert not task.done(), f"it did not wait: {task}"
        found = await observer.fetchval(
            "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid
        )
        return bool(found)

    await eventually(waits, what="the statement waits for a lock")
    yield task
    if not task.done():
        await asyncio.wait_for(task, 20)


async def impatient(on: Any) -> None:
    """Whatever would wait for somebody's lock fails instead."""
    await on.execute("SET lock_timeout = '200ms'")


# -- what it costs ----------------------------------------------------------------------------


async def buffers(on: Any, name: str, /, **values: Any) -> int:
    """How many blocks `<name>.sql` touches, everything inside its functions included."""
    statement = load(name, SCHEMA)
    bound = statement.bind({**dict.fromkeys(statement.names), **values})
    text = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + statement.text
    plan = json.loads(await on.fetchval(text, *bound))[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def claim_buffers(on: Any, count: int, **rest: Any) -> int:
    """How many blocks a claim touches."""
    wanted = rest.pop("lanes", None)
    if wanted is None:
        wanted = await lanes(on)
    values = claim_values(wanted, worker=1, count=count) | rest
    return await buffers(on, "claim", **values)
