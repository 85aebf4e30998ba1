"""A job's status as server-sent events, which end with the job and with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pgq_core.db import DISCONNECTED
from pgq_core.errors import JobNotFound, PgqError
from pgq_fastapi.runtime import Runtime, runtime_of
from pgq_fastapi.views import JobStatus, status_of

DONE = "done"
FIRST_PAUSE, SILENCE = 0.05, 15.0
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def job_status(request: Request, id: int) -> JobStatus:
    """A job's status for an endpoint of your own. Raises JobNotFound."""
    return await status_of(runtime_of(request).pgq.queries, id)


async def job_events(request: Request, id: int, *, longest_pause: float = 1.0) -> Response:
    """A stream for an endpoint of your own: `status` at every change, `done` at the end.

    It ends with `bye` when the server is told to stop, so that no open page holds it up; a browser
    then comes back to the next process. Raises JobNotFound before it begins.
    """
    if request.headers.get("last-event-id") == DONE:
        return Response(status_code=204)  # tells an EventSource not to come back
    runtime = runtime_of(request)
    first = await status_of(runtime.pgq.queries, id)
    stream = changes(runtime, first, longest_pause)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


async def changes(runtime: Runtime, status: JobStatus, longest_pause: float) -> AsyncIterator[str]:
    """The events, looking again after a pause that grows while nothing happens."""
    yield event("status", status.model_dump_json())
    pause, quiet = FIRST_PAUSE, 0.0
    while not status.finished:
        if await stopping_within(runtime, pause):
            yield event("bye", "{}")
            return
        try:
            seen = await status_of(runtime.pgq.queries, status.id)
        except (JobNotFound, *DISCONNECTED, asyncpg.PostgresError, PgqError):
            yield event("bye", "{}")
            return
        quiet, pause = quiet + pause, min(pause * 1.5, longest_pause)
        if seen != status:
            status, quiet, pause = seen, 0.0, FIRST_PAUSE
            yield event("status", status.model_dump_json())
        elif quiet >= SILENCE:
            quiet = 0.0
            yield ": still here\n\n"  # lets the server notice that the client has gone
    yield event(DONE, status.model_dump_json(), DONE)


async def stopping_within(runtime: Runtime, seconds: float) -> bool:
    """Wait; True as soon as the server is told to stop."""
    try:
        await asyncio.wait_for(runtime.stopping.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def event(name: str, data: str, id: str | None = None) -> str:
    """One event in the format of the standard; `data` is JSON and so has no line breaks."""
    label: Any = "" if id is None else f"id: {id}\n"
    return f"event: {name}\n{label}data: {data}\n\n"
