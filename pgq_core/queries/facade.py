"""`Queries`: what programs and people ask of the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgq_core.borrowed import fetch, fetch_sync
from pgq_core.db import Driver
from pgq_core.errors import InvalidInput, JobNotFound, WaitTimeout
from pgq_core.models import Attempt, EnqueuedJob, Job, JobRow, JobState, NewJob, row_of
from pgq_core.options import MAX_PAYLOAD
from pgq_core.queries import rows, schema
from pgq_core.sql import load

DEFAULT_SCHEMA = "public"


class Queries:
    """Every database verb, on a driver; one method, one statement.

    `schema` is where the tables live (default: the variable PGQ_SCHEMA, else `public`).
    """

    def __init__(
        self, driver: Driver, schema: str | None = None, max_payload: int = MAX_PAYLOAD
    ) -> None:
        self.driver = driver
        self.schema = schema or os.environ.get("PGQ_SCHEMA") or DEFAULT_SCHEMA
        self.max_payload = max_payload

    async def call(self, name: str, on: Any = None, /, **values: Any) -> list[Any]:
        """Run `<name>.sql` on the driver, or on a connection of any kind, and return its rows."""
        return list(await fetch(on or self.driver, load(name, self.schema), values, self.schema))

    async def initialize(self) -> None:
        """Install or upgrade the tables; does nothing when they are current."""
        await schema.initialize(self.driver, self.schema)

    async def uninstall(self) -> None:
        """Remove everything pgq created, jobs included."""
        await schema.uninstall(self.driver, self.schema)

    async def check(self) -> None:
        """Raise SchemaMissing, SchemaOutdated or SchemaNewer unless the tables are current."""
        await schema.check(self.driver, self.schema)

    async def enqueue(
        self,
        entrypoints: str | Sequence[str],
        payloads: Any = None,
        priorities: Any = None,
        *,
        queues: Any = None,
        run_at: Any = None,
        unique_keys: Any = None,
        concurrency_keys: Any = None,
        headers: Any = None,
        max_attempts: Any = None,
        timeout: Any = None,
    ) -> list[int]:
        """Enqueue jobs from parallel lists (a scalar stands for all); ids in input order.

        `run_at` is an aware datetime or a timedelta from now. A duplicate unique key gives the id
        of the job that holds it. Raises InvalidInput (a ValueError) before any SQL.
        """
        jobs = rows.new_jobs(
            entrypoints, payloads=payloads, priorities=priorities, queues=queues, run_at=run_at,
            unique_keys=unique_keys, concurrency_keys=concurrency_keys, headers=headers,
            max_attempts=max_attempts, timeout=timeout,
        )  # fmt: skip
        return [made.id for made in await self.enqueue_many(jobs)]

    async def enqueue_many(self, jobs: Iterable[NewJob], on: Any = None) -> list[EnqueuedJob]:
        """Enqueue jobs in one statement; says per job its id and whether it is new."""
        fellows = list(jobs)
        checked = [row_of(job, max_payload=self.max_payload, fellows=fellows) for job in fellows]
        return await self.insert(checked, on)

    async def insert(self, checked: Sequence[JobRow], on: Any = None) -> list[EnqueuedJob]:
        """Write rows that were checked before, on the driver or on a connection of the caller's."""
        if not checked:
            return []
        if wanted := rows.predecessors(checked):
            rows.check_known(await self.call("unknown_jobs", on, jobs=wanted))
        name, values = rows.insertion(checked)
        return rows.inserted(await self.call(name, on, **values))

    def insert_sync(self, checked: Sequence[JobRow], on: Any) -> list[EnqueuedJob]:
        """The same on a connection that blocks: psycopg, or a Session of SQLAlchemy's."""
        if not checked:
            return []
        if wanted := rows.predecessors(checked):
            unknown = load("unknown_jobs", self.schema)
            rows.check_known(fetch_sync(on, unknown, {"jobs": wanted}, self.schema))
        name, values = rows.insertion(checked)
        return rows.inserted(fetch_sync(on, load(name, self.schema), values, self.schema))

    async def get_job(self, id: int) -> Job:
        """One job with its state. Raises JobNotFound."""
        found = await self.call("get_job", id=id)
        if not found:
            raise JobNotFound(id)
        return rows.job_from_view(found[0])

    async def get_jobs(
        self,
        *,
        queue: str | None = None,
        entrypoint: str | None = None,
        states: Iterable[JobState | str] | None = None,
        unique_key: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Jobs by filter, newest first; the next page is `before=` the last id of this one."""
        wanted = None if states is None else [JobState(state).value for state in states]
        found = await self.call(
            "get_jobs", queue=queue, entrypoint=entrypoint, states=wanted, unique_key=unique_key,
            created_after=created_after, created_before=created_before, before=before, limit=limit,
        )  # fmt: skip
        return [rows.job_from_view(row) for row in found]

    async def get_attempts(self, id: int) -> list[Attempt]:
        """Every attempt of a job, in order."""
        return [rows.attempt_from_row(row) for row in await self.call("get_attempts", id=id)]

    async def get_progress(self, id: int) -> tuple[float | None, str | None] | None:
        """What a job said of itself last: fraction and message."""
        found = await self.call("get_progress", id=id)
        return (found[0]["fraction"], found[0]["message"]) if found else None

    async def cancel(self, ids: Iterable[int], reason: str | None = None) -> dict[int, str]:
        """Cancel jobs; per id 'cancelled', 'requested' (it runs), 'finished' or 'unknown'."""
        found = await self.call("cancel", jobs=list(ids), reason=reason)
        return {row["job_id"]: row["verdict"] for row in found}

    async def retry(self, ids: Iterable[int]) -> dict[int, str]:
        """Run finished jobs again; per id 'retried', 'running', 'held' or 'unknown'."""
        found = await self.call("retry", jobs=list(ids))
        return {row["job_id"]: row["verdict"] for row in found}

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many jobs stand where: entrypoint → state → number."""
        table: dict[str, dict[str, int]] = {}
        for row in await self.call("counts"):
            states = table.setdefault(row["entrypoint"], {})
            states[row["state"]] = states.get(row["state"], 0) + row["jobs"]
        return table

    async def pause(self, queue: str, entrypoint: str = "") -> None:
        """Stop starting jobs of a queue, or of one entrypoint in it; running ones go on."""
        await self.call("pause", queue=queue, entrypoint=entrypoint)
        await self.call("tell_all", message="look")

    async def resume(self, queue: str, entrypoint: str = "") -> None:
        """Start jobs of a queue, or of one entrypoint in it, again."""
        await self.call("resume", queue=queue, entrypoint=entrypoint)
        await self.call("tell_all", message="look")

    async def workers(self) -> list[dict[str, Any]]:
        """Every worker process that is registered."""
        return [
            {**row, "info": rows.decoded(row["info"])}
            for row in map(dict, await self.call("workers"))
        ]

    async def health(self) -> dict[str, Any]:
        """What a probe needs: workers, oldest ready job's age (s), failures of the last hour."""
        return dict((await self.call("health"))[0])

    async def prune(
        self,
        *,
        succeeded: timedelta = timedelta(days=7),
        failed: timedelta = timedelta(days=30),
        cancelled: timedelta = timedelta(days=7),
        batch: int = 1000,
    ) -> int:
        """Delete finished jobs older than that, in small transactions; returns how many."""
        if batch < 1 or min(succeeded, failed, cancelled) < timedelta(0):
            raise InvalidInput("prune: ages must not be negative, batch must be at least 1")
        gone, position = 0, 0
        while True:
            row = (
                await self.call(
                    "prune", from_id=position, limit=batch, succeeded=succeeded, failed=failed,
                    cancelled=cancelled,
                )
            )[0]  # fmt: skip
            gone += row["pruned"]
            if row["last_id"] is None:
                return gone
            position = row["last_id"]

    async def wait(self, id: int, timeout: float | None = None) -> Job:
        """Wait until a job has its last outcome and return it, result included.

        Looks with a growing pause, 5 ms to 0.5 s. Raises JobNotFound, or WaitTimeout after
        `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        pause = 0.005
        while True:
            job = await self.get_job(id)
            if job.state.finished:
                return job
            left = pause if end is None else min(pause, end - loop.time())
            if left <= 0:
                raise WaitTimeout(id, timeout or 0.0, job.state.value)
            await asyncio.sleep(left)
            pause = min(pause * 1.5, 0.5)
