"""One job's status: by polling, or as server-sent events."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pgq_fastapi.events import job_events, job_status
from pgq_fastapi.router.route import NOT_FOUND, JobId, PgqRoute
from pgq_fastapi.views import JobStatus

router = APIRouter(route_class=PgqRoute)

EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["status", "done", "bye"]},
        "data": {"type": "string", "description": "a JobStatus as JSON; {} for bye"},
        "id": {"type": "string"},
    },
    "required": ["event", "data"],
}


@router.get("/jobs/{id}/status", summary="A job's status", responses=NOT_FOUND)
async def status(id: JobId, request: Request) -> JobStatus:
    return await job_status(request, id)


@router.get(
    "/jobs/{id}/events",
    summary="A job's status at every change, until it ends",
    response_class=Response,
    responses={
        **NOT_FOUND,
        200: {"content": {"text/event-stream": {"schema": EVENT}}},
        204: {"description": "the job had ended when this stream was last left"},
    },
)
async def events(id: JobId, request: Request) -> Response:
    return await job_events(request, id)
