"""Run jobs in this process, with the worker that production has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.errors import InvalidInput
from pgq_core.options import WorkerOptions
from pgq_core.testing.clock import checked
from pgq_core.testing.recorder import Ran, recording
from pgq_core.testing.time import fire_schedules, promote
from pgq_core.worker import Worker
from pgq_core.worker.lane import Lane, Stretch
from pgq_core.worker.lanes import Lanes

QUIET: dict[str, Any] = {
    "until_empty": True, "listen": False, "prune": False, "schedules": False,
    "shutdown_timeout": 3600.0,
}  # fmt: skip
ROUNDS = 30


async def run_pending(
    pgq: PgQueuer,
    *,
    now: datetime | None = None,
    queues: Sequence[str] | None = None,
    concurrency: int = 10,
    check: bool = True,
) -> list[Ran]:
    """Run everything that is due, and what that enqueues, until nothing is left.

    `now`: pretend it is then: deferred jobs and retries due by then run, schedules fire. Returns
    the attempts in the order they ended. Raises AssertionError with the traceback of the first that
    went wrong, unless `check=False`.
    """
    options = WorkerOptions(concurrency=concurrency, queues=queues, **QUIET)
    with recording(pgq) as ran:
        if now is not None:
            await fire_schedules(pgq, checked(now))
            await promote(pgq, now)
        for _ in range(ROUNDS):
            await pgq.run_worker(pgq.worker(options))
            if now is None or not await promote(pgq, now):
                break
        else:
            raise AssertionError(f"jobs come back again and again before {now}: {ran[-1].job}")
    for one in ran if check else ():
        one.check()
    return ran


async def run_job(pgq: PgQueuer, job_id: int, *, check: bool = True) -> Ran:
    """Run this one job, be it deferred, whatever limits and pauses say, and no other.

    Raises InvalidInput when it does not wait to be run, JobNotFound, and AssertionError when it
    went wrong, unless `check=False`.
    """
    job = await pgq.queries.get_job(job_id)
    pgq.registry.get(job.entrypoint)
    if await pgq.queries.call("testing_hurry", job=job_id):
        await promote(pgq, None)
    place = await pgq.queries.call("testing_place", job=job_id)
    if not place:
        raise InvalidInput(f"job {job_id} is {job.state.value}; only a waiting job can be run")
    worker = pgq.worker(WorkerOptions(concurrency=1, max_jobs=1, **QUIET))
    lane = Lane(place[0]["lane_id"], job.queue, job.entrypoint, job.priority)
    with recording(pgq) as ran:
        await run_only(pgq, worker, OnePlace(lane, place[0]["position"]))
    if not ran:
        raise AssertionError(f"job {job_id} was taken by a worker that runs beside this test")
    if check:
        ran[0].check()
    return ran[0]


async def run_only(pgq: PgQueuer, worker: Worker, lanes: Lanes) -> None:
    """Run a worker that sees nothing but these lanes."""
    worker.lanes = lanes
    await pgq.run_worker(worker)


class OnePlace(Lanes):
    """Lanes as the worker knows them, shrunk to one job's place in one of them."""

    def __init__(self, lane: Lane, position: int) -> None:
        super().__init__()
        self._stretch = Stretch(lane, position - 1, position)

    def learn_directory(self, *_directory: Any) -> None:
        """There is nothing else to serve."""

    def plan(self, *_which: Any) -> list[Stretch]:
        """The one place."""
        return [self._stretch]
