"""Enqueue: one statement, on the driver or on a connection of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pgq_core.models import EnqueuedJob, Fellows, JobRow, NewJob, row_of
from pgq_core.queries import rows
from pgq_core.queries.base import Statements


class Writing(Statements):
    """The verbs that enqueue."""

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
        fellows = Fellows(jobs)
        checked = [row_of(job, max_payload=self.max_payload, fellows=fellows) for job in fellows]
        return await self.insert(checked, on)

    async def insert(self, checked: Sequence[JobRow], on: Any = None) -> list[EnqueuedJob]:
        """Write rows that were checked before, on the driver or on a connection of the caller's."""
        if not checked:
            return []
        if wanted := rows.predecessors(checked):
            rows.check_known(await self.call("unknown_jobs", on, jobs=wanted))
        name, values = rows.insertion(checked)
        return rows.inserted(checked, await self.call(name, on, **values))

    def insert_sync(self, checked: Sequence[JobRow], on: Any) -> list[EnqueuedJob]:
        """The same on a connection that blocks: psycopg, or a Session of SQLAlchemy's."""
        if not checked:
            return []
        if wanted := rows.predecessors(checked):
            rows.check_known(self.call_sync("unknown_jobs", on, jobs=wanted))
        name, values = rows.insertion(checked)
        return rows.inserted(checked, self.call_sync(name, on, **values))
