"""Look at jobs: pages, one with its attempts, how many stand where."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pgq_core import JobState
from pgq_fastapi.dependency import PgqDep
from pgq_fastapi.router.route import NOT_FOUND, UNAVAILABLE, JobId, PgqRoute
from pgq_fastapi.views import JobDetail, JobPage, JobView, attempt_of, progress_of, view_of

router = APIRouter(route_class=PgqRoute)

Name = Annotated[str | None, Query(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]


@router.get("/jobs", summary="Jobs, newest first", responses=UNAVAILABLE)
async def get_jobs(
    pgq: PgqDep,
    queue: Name = None,
    entrypoint: Name = None,
    state: Annotated[list[JobState] | None, Query()] = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobPage:
    jobs = await pgq.queries.get_jobs(
        queue=queue, entrypoint=entrypoint, states=state or None, before=before, limit=limit
    )
    views = [JobView(**view_of(job)) for job in jobs]
    return JobPage(jobs=views, next=jobs[-1].id if len(jobs) == limit else None)


@router.get("/jobs/{id}", summary="One job with its attempts", responses=NOT_FOUND)
async def get_job(id: JobId, pgq: PgqDep) -> JobDetail:
    job = await pgq.queries.get_job(id)
    attempts = [attempt_of(attempt) for attempt in await pgq.queries.get_attempts(id)]
    progress = await progress_of(pgq.queries, id)
    return JobDetail(**view_of(job), attempts=attempts, progress=progress)


@router.get("/counts", summary="Jobs by entrypoint and state", responses=UNAVAILABLE)
async def get_counts(pgq: PgqDep) -> dict[str, dict[str, int]]:
    return await pgq.queries.counts()
