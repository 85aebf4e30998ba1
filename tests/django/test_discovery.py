"""What a worker finds to serve."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from pgq_core import PgQueuer
from pgq_django.worker import discovery
from pgq_django.worker.discovery import Discovery


def test_what_is_found_at_the_start_is_served_without_an_error() -> None:
    """A job whose task is only found by its path is no error in the log of a worker that is
    starting."""
    worker: Any = SimpleNamespace()  # as long as it has not been opened
    told: list[bool] = []

    async def serve_more() -> None:
        told.append(hasattr(worker, "crew"))

    async def found() -> None:
        finder.grown = True

    async def start() -> None:
        looking = asyncio.create_task(finder.run(worker))
        await asyncio.sleep(discovery.SOON * 2)
        worker.crew = object()
        await asyncio.sleep(discovery.SOON * 5)
        looking.cancel()

    finder: Any = Discovery(PgQueuer(), "default")
    finder.look, worker.serve_more = found, serve_more
    asyncio.run(start())
    assert told == [True]
