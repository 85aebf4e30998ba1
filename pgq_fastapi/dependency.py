"""`PgqDep`: the queue in any FastAPI endpoint."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from pgq_core import PgQueuer
from pgq_fastapi.runtime import pgq_of


async def get_pgq(connection: HTTPConnection) -> PgQueuer:
    """The app's PgQueuer, for `Depends`. Raises LifespanMissing when no lifespan runs."""
    return pgq_of(connection)


PgqDep = Annotated[PgQueuer, Depends(get_pgq)]
