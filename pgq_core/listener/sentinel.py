"""The sentinel's thread: it opens one session after the other, whatever breaks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED, Connect, pause_after
from pgq_core.errors import PgqError
from pgq_core.listener.hearing import Hearing
from pgq_core.listener.inbox import Inbox
from pgq_core.listener.presence import Presence
from pgq_core.listener.pulse import Identity, Pulse
from pgq_core.listener.session import Session
from pgq_core.queries import Queries

log = logging.getLogger("pgq_core.listener")

LOST = (*DISCONNECTED, asyncpg.PostgresError, PgqError)


class Sentinel:
    """Start it, then read `pulse`; `hear(kind, payload)` is called in the worker's loop."""

    def __init__(
        self,
        queries: Queries,
        lease: float,
        info: dict[str, Any],
        hear: Callable[[str, str], None],
        listen: bool = True,
        connect: Connect | None = None,
    ) -> None:
        self.pulse = Pulse(listener="starting" if listen else "off")
        self.presence = Presence(queries, lease, info, self.pulse, self._tell)
        self._connect = connect or queries.driver.connect
        self._hearing: Hearing | None = None
        if listen:
            self._hearing = Hearing(self._connect, connect is not None, self.pulse, self._tell)
        self._inbox = Inbox()
        self._hear = hear
        self._home = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._home.create_future()
        self._thread = threading.Thread(target=self._main, name="pgq-sentinel", daemon=True)

    @property
    def identity(self) -> Identity:
        """Who this process is in the database, once it has started."""
        return self.presence.identity

    @property
    def hears(self) -> bool:
        """Whether notifications arrive here."""
        return self.pulse.hears

    async def start(self) -> Identity:
        """Register the process, take the lock, listen. Raises what the first connection raises."""
        self._thread.start()
        await self._ready
        return self.identity

    async def stop(self) -> None:
        """Close the connection, which frees the lock, and end the thread."""
        self._inbox.close()
        await asyncio.to_thread(self._thread.join, 10)

    def stamp(self) -> None:
        """Note in the database that a wake-up has arrived."""
        self._inbox.put("stamp")

    def forward(self) -> None:
        """Pass a wake-up on to every idle worker."""
        self._inbox.put("forward")

    def retake(self) -> None:
        """The server was restarted: its locks are gone, open a new session."""
        self._inbox.put("retake")

    # -- in the thread ----------------------------------------------------------------------

    def _main(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            log.exception("the sentinel broke; without beats our jobs will be given to others")
            self._at_home(self._fail, error)

    async def _live(self) -> None:
        self._inbox.open()
        failures = 0
        while not self._inbox.closed:
            started = time.monotonic()
            try:
                await self._session()
            except LOST as error:
                if self._never_began(error):
                    return
                failures = 0 if time.monotonic() - started > 5 else failures + 1
                log.warning("lost the listening connection (%s: %s); reconnecting",
                            type(error).__name__, error)  # fmt: skip
                if failures:  # else at once: without our lock others take us for dead in a moment
                    await self._inbox.pause(pause_after(failures))
            except Exception as error:
                # Without beats our jobs would be given to others, so whatever it was: once more.
                log.exception("the listening session broke")
                if self._never_began(error):
                    return
                await self._inbox.pause(1)

    def _never_began(self, error: Exception) -> bool:
        """Whether the first session failed; `start` raises that."""
        if not self.pulse.connections:
            self._at_home(self._fail, error)
        return not self.pulse.connections

    async def _session(self) -> None:
        connection = await asyncio.wait_for(self._connect(), 10)
        try:
            session = Session(connection, self.presence, self._hearing, self._inbox)
            await session.open(direct=self.pulse.hears)
            self.pulse.connections += 1
            if self.pulse.connections == 1:
                self._at_home(self._ready.set_result, None)
            else:
                self._tell("reconnected")
            await session.serve()
            await connection.close(timeout=2)
        finally:
            connection.terminate()

    def _fail(self, error: BaseException) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)

    def _tell(self, kind: str, payload: str = "") -> None:
        self._at_home(self._hear, kind, payload)

    def _at_home(self, call: Callable[..., Any], *args: Any) -> None:
        """Call something in the worker's loop, unless that loop has ended."""
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(call, *args)
