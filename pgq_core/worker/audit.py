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

    It runs between claims, so a lease the database knows and we do not is a claim whose answer was
    lost, or one that we forgot: an outcome that could not be written, a last outcome that left the
    row behind.
    """

    def __init__(self, claimer: Claimer, flusher: Flusher, every: float) -> None:
        self.claimer = claimer
        self.flusher = flusher
        self.every = every
        self.wanted = False
        self.newest_lease = 0
        self._done_at = time.monotonic()
        self._begin = 0

    def forget(self) -> None:
        """The server was restarted: lease numbers may begin anew."""
        self.newest_lease = self._begin = 0

    async def run_if_due(self) -> None:
        """Compare when somebody asked for it, or a lease time has passed with something held."""
        overdue = time.monotonic() - self._done_at >= self.every
        if self.wanted or (overdue and self.claimer.book.leases):
            await self.run()

    async def run(self) -> None:
        """Compare now."""
        claimer, book = self.claimer, self.claimer.book
        self.wanted, self._done_at = False, time.monotonic()
        held = set(book.leases)  # the flusher may end some while we ask
        begin, self._begin = self._begin, book.lowest or self.newest_lease
        rows = await claimer.line.call("own_leases", worker=claimer.worker_id, lowest=begin)
        known = {(row["lease_id"], row["token"]) for row in rows}
        for run in book.hopeless(known):
            log.warning("job %d: lease lost, stopping attempt %d", run.job.id, run.job.attempt)
            run.stop("lost")
        for row in rows:
            if row["lease_id"] not in held:
                await self._give_back(row)

    async def _give_back(self, row: Any) -> None:
        """Return those jobs of an unknown lease that have no outcome; none of them runs here."""
        claimer, jobs = self.claimer, row["job_ids"]
        found = await claimer.line.call("job_lanes", jobs=jobs, crashes=row["crashes"])
        lanes = {lane["id"]: lane["lane_id"] for lane in found}
        lease = Lease(row["lease_id"], row["token"], len(jobs), len(jobs))
        claimer.book.leases[lease.id] = lease
        log.warning("closing lease %d, unknown here, of %d jobs", lease.id, len(jobs))
        for id_, attempt, spent, crashes in zip(
            jobs, row["attempts"], row["spent"], row["crashes"], strict=True
        ):
            run = Running(stub(id_, attempt), lease, lanes.get(id_, 0), spent, crashes, 0)
            run.started, run.limited = 0.0, True
            outcome = Outcome(run.job, "interrupted", None, None, 0.0, spent, crashes)
            self.flusher.add(run, outcome)


def stub(job_id: int, attempt: int) -> Job:
    """Just enough of a job to give it back, with a key in case it has one; nobody sees it."""
    nothing: Any = None
    return Job(job_id, "", "", 0, attempt, 0, b"", {}, nothing, None, JobState.READY, unique_key="")
