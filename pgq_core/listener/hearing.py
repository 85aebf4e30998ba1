"""LISTEN, and whether anything is heard: a pooler accepts it and delivers nothing."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from pgq_core.db import Connect
from pgq_core.listener.pulse import Identity, Pulse, Tell
from pgq_core.poolers import behind_pooler

log = logging.getLogger("pgq_core.listener")


class Hearing:
    """Subscribes to our channels and tells the worker what arrives. `direct`: no pooler there."""

    def __init__(self, connect: Connect, direct: bool, pulse: Pulse, tell: Tell) -> None:
        self._connect = connect
        self._direct = direct
        self._pulse = pulse
        self._tell = tell

    async def subscribe(self, connection: Any, identity: Identity) -> bool:
        """LISTEN, then hear ourselves within 2 s; False where notifications do not arrive."""
        echo = asyncio.Event()
        token = os.urandom(8).hex()

        def receive(_c: Any, _pid: int, channel: str, payload: str) -> None:
            if payload == f"test {token}":
                echo.set()
            elif not payload.startswith("test "):
                own = channel == identity.channel
                self._tell("lane" if own else payload, payload if own else "")

        await connection.add_listener(identity.channel, receive)
        await connection.add_listener(identity.common, receive)
        await self._shout(connection, identity.channel, f"test {token}")
        try:
            await asyncio.wait_for(echo.wait(), 2)
        except asyncio.TimeoutError:
            await self._do_without(connection)
            return False
        self._pulse.listener = "listening"
        return True

    async def _do_without(self, connection: Any) -> None:
        """Poll; behind a pooler that is nobody's fault."""
        pooled = not self._direct and await behind_pooler(connection)
        state = "polling" if pooled else "deaf"
        if self._pulse.listener != state:
            why = "through this pooler" if pooled else "and no pooler explains it"
            log.warning("notifications do not arrive, %s; polling", why)
        self._pulse.listener = state
        await connection.execute("UNLISTEN *", timeout=10)

    async def _shout(self, connection: Any, channel: str, message: str) -> None:
        """Notify ourselves. Behind a pooler from a connection beside: both statements on one would
        often meet the same server session, which hears itself while we would hear nobody else."""
        beside = await self._connect() if await behind_pooler(connection) else connection
        try:
            await beside.execute("SELECT pg_notify($1, $2)", channel, message, timeout=10)
        finally:
            if beside is not connection:
                await beside.close(timeout=2)
