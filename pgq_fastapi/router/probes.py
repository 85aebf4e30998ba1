"""/live: the loop turns. /ready: database, worker, listener, lag."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from fastapi import APIRouter, Request, Response

from pgq_core.db import DISCONNECTED
from pgq_core.errors import PgqError
from pgq_fastapi.runtime import Runtime, find_runtime
from pgq_fastapi.views import Readiness

PATIENCE = 3.0


def routes(max_lag: float | None) -> APIRouter:
    """The two probes."""
    router = APIRouter()

    @router.get("/live", summary="Whether the process answers at all")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/ready",
        summary="Whether the process can serve",
        responses={503: {"model": Readiness, "description": "not ready; see `reasons`"}},
    )
    async def ready(request: Request, response: Response) -> Readiness:
        found = await readiness(find_runtime(request), max_lag)
        response.status_code = 200 if found.ready else 503
        return found

    return router


async def readiness(runtime: Runtime | None, max_lag: float | None = None) -> Readiness:
    """Judge one process. Never raises: what is wrong is in `reasons`."""
    if runtime is None:
        reasons = ["no pgq lifespan runs for this app"]
        return Readiness(ready=False, reasons=reasons, database=False, worker="off")
    health = await ask(runtime)
    facts = runtime.worker_facts()
    lag = None if health is None else max(0.0, health["oldest_ready"] or 0.0)
    reasons = list(why_not(runtime, facts, lag, max_lag))
    return Readiness(
        ready=not reasons, reasons=reasons, database=health is not None, lag=lag,
        workers=None if health is None else health["workers"], **facts,
    )  # fmt: skip


async def ask(runtime: Runtime) -> dict[str, Any] | None:
    """The queue's health, or None when the database does not answer in time."""
    try:
        return await asyncio.wait_for(runtime.pgq.queries.health(), PATIENCE)
    except (*DISCONNECTED, asyncpg.PostgresError, PgqError):
        return None


def why_not(
    runtime: Runtime, facts: dict[str, Any], lag: float | None, max_lag: float | None
) -> list[str]:
    """Every reason against sending requests here."""
    reasons = []
    if runtime.stopping.is_set():
        reasons.append("the server is stopping")
    elif facts["worker"] not in ("off", "running"):
        reasons.append(f"the worker is {facts['worker']}")
    lease = runtime.supervisor.options.lease if runtime.supervisor else 0.0
    if facts.get("beat_age", 0.0) > lease:
        reasons.append("the worker's beats do not reach the database")
    if lag is None:
        reasons.append("the database does not answer")
    elif max_lag is not None and lag > max_lag:
        reasons.append(f"the oldest ready job has waited {lag:.0f} s")
    return reasons
