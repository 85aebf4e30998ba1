"""The session lock that says we live: PostgreSQL frees it the moment the process is gone."""

from __future__ import annotations

import asyncio
from typing import Any


async def take_lock(connection: Any, key: int) -> bool:
    """Take the session lock without waiting: our last session may hold it for long yet, where
    the server has not noticed its end. Until then our beats alone say that we live.
    """
    for _ in range(3):  # whoever asks whether we live holds it for a moment
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", key, timeout=10):
            return True
        await asyncio.sleep(0.01)
    return False


async def holds_lock(connection: Any) -> bool:
    """Whether this session still holds its lock."""
    statement = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )
    return bool(await connection.fetchval(statement, timeout=10))
