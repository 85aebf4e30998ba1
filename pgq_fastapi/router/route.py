"""Our errors as HTTP answers, on our routes only: a router has no exception handlers of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import asyncpg
from fastapi import HTTPException, Path, Request, Response
from fastapi.routing import APIRoute

from pgq_core.db import DISCONNECTED
from pgq_core.errors import DatabaseError, InvalidInput, JobNotFound
from pgq_fastapi.views import Problem

JobId = Annotated[int, Path(ge=1, le=2**63 - 1, description="the job's id")]

UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "the database does not answer"}
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "there is no such job, or it has been pruned"},
    **UNAVAILABLE,
}


class PgqRoute(APIRoute):
    """404 for unknown jobs, 422 for values we refuse, 503 while the database is away."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with our errors translated."""
        handle = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handle(request)
            except JobNotFound as error:
                raise HTTPException(404, str(error)) from error
            except InvalidInput as error:
                raise HTTPException(422, str(error)) from error
            except (*DISCONNECTED, asyncpg.PostgresError, DatabaseError) as error:
                detail = f"the database does not answer ({type(error).__name__})"
                raise HTTPException(503, detail) from error

        return translated
