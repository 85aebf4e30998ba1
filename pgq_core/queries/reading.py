"""Look at jobs, workers and the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from pgq_core.errors import JobNotFound, WaitTimeout
from pgq_core.models import Attempt, Job, JobState
from pgq_core.queries import rows
from pgq_core.queries.base import Statements
from pgq_core.queries.ear import Ear, within

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.5  # seconds between two looks of `wait`


class Reading(Statements):
    """The verbs that only look."""

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

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many jobs stand where: entrypoint → state → number."""
        table: dict[str, dict[str, int]] = {}
        for row in await self.call("counts"):
            states = table.setdefault(row["entrypoint"], {})
            states[row["state"]] = states.get(row["state"], 0) + row["jobs"]
        return table

    async def workers(self) -> list[dict[str, Any]]:
        """Every worker process that is registered."""
        return [
            {**row, "info": rows.decoded(row["info"])}
            for row in map(dict, await self.call("workers"))
        ]

    async def health(self) -> dict[str, Any]:
        """What a probe needs: workers, oldest ready job's age (s), failures of the last hour."""
        return dict((await self.call("health"))[0])

    async def wait(self, id: int, timeout: float | None = None) -> Job:
        """Wait until a job has its last outcome and return it, result included.

        Looks with a growing pause, 5 ms to 0.5 s; when that takes longer it is also woken by the
        job's end, on a connection of its own. Raises JobNotFound, or WaitTimeout after `timeout`
        seconds.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        pause = FIRST_PAUSE
        async with self._ear.listening(id) as ended:
            while True:
                ended.clear()
                job = await self.get_job(id)
                if job.state.finished:
                    return job
                left = pause if end is None else min(pause, end - loop.time())
                if left <= 0:
                    raise WaitTimeout(id, timeout or 0.0, job.state.value)
                await within(ended, left)
                pause = min(pause * 1.5, LONGEST_PAUSE)

    @cached_property
    def _ear(self) -> Ear:
        async def expect(connection: Any, ms: int) -> str:
            return str((await self.call("expect", connection, ms=ms))[0]["channel"])

        return Ear(self.driver.connect, expect)
