"""An app in this process: its lifespan runs, a client talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from pgq_fastapi.runtime import KEY, Runtime


@asynccontextmanager
async def talking_to(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose lifespan runs as long as the block."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        yield client


def runtime(app: Any) -> Runtime:
    """What the app's lifespan shares."""
    found: Runtime = getattr(app.state, KEY)
    return found
