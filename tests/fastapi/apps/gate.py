"""An app whose jobs and requests can be held: they wait for an advisory lock the test has."""

from __future__ import annotations

import os

import asyncpg
from fastapi import FastAPI

from pgq_core import Job, PgQueuer
from pgq_fastapi import PgqDep, pgq_lifespan

pgq = PgQueuer()
limit = float(os.environ.get("LIMIT", "30"))
app = FastAPI(lifespan=pgq_lifespan(pgq, shutdown_timeout=limit, lease=5.0))


async def pass_gate(number: int) -> None:
    """Wait until the test opens the gate."""
    connection = await asyncpg.connect(os.environ["PGQ_DSN"])
    try:
        await connection.execute("SELECT pg_advisory_lock_shared($1)", number)
    finally:
        connection.terminate()


@pgq.entrypoint("held")
async def held(job: Job) -> int:
    await pass_gate(1)
    return os.getpid()


@pgq.entrypoint("quick")
async def quick(job: Job) -> int:
    return os.getpid()


@app.get("/pgq/live")
async def live() -> int:
    return os.getpid()


@app.get("/slow")
async def slow() -> str:
    await pass_gate(2)
    return "done"


@app.post("/jobs")
async def enqueue(queue: PgqDep, entrypoint: str) -> int:
    return await queue.enqueue(entrypoint)
