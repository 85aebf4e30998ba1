"""Change jobs: retry, cancel. Never reachable without a dependency of the user's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from pgq_core.errors import JobNotFound
from pgq_fastapi.dependency import PgqDep
from pgq_fastapi.router.route import NOT_FOUND, JobId, PgqRoute
from pgq_fastapi.views import Problem, Verdict

router = APIRouter(route_class=PgqRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    409: {"model": Problem, "description": "the job's state does not allow it"},
}


@router.post("/jobs/{id}/retry", summary="Run a finished job again", responses=CONFLICT)
async def retry(id: JobId, pgq: PgqDep) -> Verdict:
    return judged(id, (await pgq.queries.retry([id]))[id], allowed=("retried",))


@router.post(
    "/jobs/{id}/cancel",
    summary="Cancel a job; one that runs is asked to stop",
    responses=CONFLICT,
)
async def cancel(id: JobId, pgq: PgqDep) -> Verdict:
    return judged(id, (await pgq.queries.cancel([id]))[id], allowed=("cancelled", "requested"))


def judged(id: int, verdict: str, allowed: tuple[str, ...]) -> Verdict:
    """The verdict as an answer: 404 for an unknown job, 409 where the state forbids it."""
    if verdict == "unknown":
        raise JobNotFound(id)
    if verdict not in allowed:
        raise HTTPException(409, f"job {id}: {verdict}")
    return Verdict(id=id, verdict=verdict)
