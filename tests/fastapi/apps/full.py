"""Every route of the router, guarded, and a worker: for streams, scrapes and fuzzing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException

from pgq_core import Context, Job, PgQueuer
from pgq_fastapi import PgqDep, pgq_lifespan, pgq_router
from tests.fastapi.apps.gate import pass_gate

pgq = PgQueuer()
app = FastAPI(title="shop", version="1", lifespan=pgq_lifespan(pgq, lease=5.0))


def only_ann(token: Annotated[str, Header()] = "") -> None:
    """A guard."""
    if token != "ann":
        raise HTTPException(401, "who are you?")


app.include_router(
    pgq_router(jobs=True, manage=True, status=True, dependencies=[Depends(only_ann)])
)


@app.get("/up", include_in_schema=False)
async def up() -> str:
    return "up"


@app.post("/enqueue", include_in_schema=False)
async def enqueue(queue: PgqDep, entrypoint: str) -> int:
    return await queue.enqueue(entrypoint, {"from": "http"})


@pgq.entrypoint("echo")
async def echo(job: Job) -> Any:
    return job.payload.decode(errors="replace")


@pgq.entrypoint("held")
async def held(job: Job, context: Context) -> str:
    context.progress(0.25, "at the gate")
    await pass_gate(1)
    return "passed"
