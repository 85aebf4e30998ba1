"""Two endpoints that enqueue in the request's session: one commits before it answers, one after."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pgq_core import PgQueuer
from pgq_fastapi import PgqDep, pgq_lifespan
from tests.fastapi.apps.gate import pass_gate

URL = os.environ["PGQ_DSN"].replace("postgresql://", "postgresql+asyncpg://", 1)
engine = create_async_engine(URL)
app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), worker=False))


async def session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as opened, opened.begin():
        yield opened
        if (await opened.execute(text("SELECT to_regclass('slow_commit')"))).scalar():
            await pass_gate(3)


Right = Annotated[AsyncSession, Depends(session, scope="function")]
Wrong = Annotated[AsyncSession, Depends(session)]


@app.post("/right")
async def right(session: Right, queue: PgqDep) -> int:
    return await queue.enqueue("mail", connection=session)


@app.post("/wrong")
async def wrong(session: Wrong, queue: PgqDep) -> int:
    return await queue.enqueue("mail", connection=session)


@app.get("/pgq/live")
async def live() -> str:
    return "alive"
