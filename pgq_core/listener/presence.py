"""This process in the database: its row, its beats, what it passes on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from typing import Any

from pgq_core.listener.pulse import Identity, Pulse, Tell
from pgq_core.queries import Queries

log = logging.getLogger("pgq_core.listener")


class Presence:
    """Says on a connection that we live. No statement may take longer than ten seconds."""

    def __init__(
        self, queries: Queries, lease: float, info: dict[str, Any], pulse: Pulse, tell: Tell
    ) -> None:
        self.identity: Identity
        self._queries = queries
        self._lease = lease
        self._interval = lease / 3
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self.introduce(info)
        self._pulse = pulse
        self._tell = tell

    def introduce(self, info: dict[str, Any]) -> None:
        """What others are told of us, from the next beat on."""
        self._info = json.dumps(info)

    async def register(self, connection: Any) -> None:
        """Become a worker, unless we are one already."""
        if not hasattr(self, "identity"):
            found = await self._call(
                connection, "register_worker", name=self._name, lease=self._lease, info=self._info
            )
            self.identity = Identity(*found[0])

    @property
    def next_beat(self) -> float:
        """Seconds until the next beat is due."""
        return self._pulse.beaten + self._interval - time.monotonic()

    async def beat(self, connection: Any, *, locked: bool, relocked: bool) -> None:
        """Tell the database that we live. The clock starts before the statement is sent."""
        sent, pulse = time.monotonic(), self._pulse
        rows = await self._call(
            connection, "beat", worker=self.identity.worker_id, name=self._name, lease=self._lease,
            info=self._info, stalled=self._stalled(sent), running=pulse.running,
            listener=pulse.listener, locked=locked, relocked=relocked,
        )  # fmt: skip
        pulse.beaten = sent
        age = rows[0]["age"]
        if age is None or age > self._lease:
            self._tell("outlived")

    def _stalled(self, now: float) -> float:
        """For how long the worker's loop has been blocked; 0 when it turns."""
        silent = now - self._pulse.ticked
        ticking = self._pulse.connections > 0  # the worker's loop waits for our first beat
        if not ticking or silent <= max(1.0, self._interval):
            return 0.0
        log.warning("the event loop has been blocked for %.1f s; its jobs go on", silent)
        return silent

    async def stamp(self, connection: Any) -> None:
        """Note that a wake-up has arrived."""
        await self._call(connection, "stamp_woken")

    async def pass_on(self, connection: Any) -> None:
        """Wake every idle worker but us."""
        await self._call(connection, "pass_on", worker=self.identity.worker_id)

    async def _call(self, connection: Any, name: str, /, **values: Any) -> list[Any]:
        return await asyncio.wait_for(self._queries.call(name, connection, **values), 10)
