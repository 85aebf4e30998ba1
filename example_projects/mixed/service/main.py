"""The service: makes thumbnails for the site, and has letters written by it."""

import asyncio
import os
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pgq_core import Context, Job, PgQueuer
from pgq_fastapi import pgq_lifespan, pgq_router

pgq = PgQueuer()
engine = create_async_engine(os.environ["PGQ_DSN"].replace("postgresql", "postgresql+asyncpg", 1))

SECONDS = float(os.environ.get("MIXED_SECONDS", "0.1"))
LETTER = "office.tasks.write_letter"  # the site's name for it
DONE = text("UPDATE office_picture SET thumbnail = :thumbnail WHERE id = :picture")


@pgq.entrypoint("thumbnail", queue="pictures", transactional=True, max_attempts=10)
async def thumbnail(job: Job, context: Context) -> None:
    """The thumbnail, the letter's job and this job's completion commit together."""
    wanted: dict[str, Any] = job.json()
    await asyncio.sleep(SECONDS)
    async with AsyncSession(engine) as session, context.transaction(connection=session):
        await session.execute(
            DONE, {"thumbnail": f"small {wanted['name']}", "picture": wanted["picture"]}
        )
        await pgq.enqueue(
            LETTER, {"args": [wanted["picture"]], "kwargs": {}}, queue="letters",
            connection=session, check=False,
        )  # fmt: skip


app = FastAPI(title="pictures", lifespan=pgq_lifespan(pgq, queues=["pictures"], concurrency=5))
app.include_router(pgq_router())
