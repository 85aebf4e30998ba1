"""What the database says we hold, against what we believe we hold."""

from __future__ import annotations

import logging
import time
from typing import Any

from pgq_core.models import Job, JobState
from pgq_core.outcomes import Outcome
from pgq_core.worker.book import Lease, Running
from pgq_core.worker.claimer import Claimer
from pgq_core.worker.flusher import Flusher

log = logging.getLogger("pgq_core.worker")


class Audit:
    """After a reconnect and once per lease time: stop what is lost, give back what is unknown.

    It runs between claims, so a lease the database knows and we do not is an answer that was lost.
    """

    def __init__(self, claimer: Claimer, flusher: Flusher, every: float) -> None:
        self.claimer = claimer
        self.flusher = flusher
        self.every = every
        self.wanted = False
        self.newest_lease = 0
        self._done_at = time.monotonic()

    async def run_if_due(self) -> None:
        """Compare when somebody asked for it, or a lease time has passed."""
        if self.wanted or time.monotonic() - self._done_at >= self.every:
            await self.run()

    async def run(self) -> None:
        """Compare now."""
        claimer, book = self.claimer, self.claimer.book
        self.wanted, self._done_at = False, time.monotonic()
        rows = await claimer.line.call(
            "own_leases", worker=claimer.worker_id, lowest=book.lowest or self.newest_lease
        )
        known = {(row["lease_id"], row["token"]) for row in rows}
        for run in book.hopeless(known):
            log.warning("job %d: lease lost, stopping attempt %d", run.job.id, run.job.attempt)
            run.stop("lost")
        for row in rows:
            if row["lease_id"] not in book.leases:
                await self._give_back(row)

    async def _give_back(self, row: Any) -> None:
        """Return the jobs of a lease whose claim we never heard of: they were never started."""
        claimer, jobs = self.claimer, row["job_ids"]
        found = await claimer.line.call("job_lanes", jobs=jobs)
        lanes = {lane["id"]: lane["lane_id"] for lane in found}
        lease = Lease(row["lease_id"], row["token"], len(jobs), len(jobs))
        claimer.book.leases[lease.id] = lease
        log.warning("giving back %d jobs of a claim whose answer was lost", len(jobs))
        for id_, attempt, spent, crashes in zip(
            jobs, row["attempts"], row["spent"], row["crashes"], strict=True
        ):
            run = Running(stub(id_, attempt), lease, lanes.get(id_, 0), spent, crashes, 0)
            run.started, run.limited = 0.0, True
            outcome = Outcome(run.job, "interrupted", None, None, 0.0, spent, crashes)
            self.flusher.add(run, outcome)


def stub(job_id: int, attempt: int) -> Job:
    """Just enough of a job to give it back; nobody sees it."""
    nothing: Any = None
    return Job(job_id, "", "", 0, attempt, 0, b"", {}, nothing, None, JobState.READY)
