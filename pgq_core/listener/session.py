"""One connection's life: register or return, lock, listen, beat until it breaks."""

from __future__ import annotations

from typing import Any

from pgq_core.listener.hearing import Hearing
from pgq_core.listener.inbox import Inbox
from pgq_core.listener.lock import holds_lock, take_lock
from pgq_core.listener.presence import Presence


class Session:
    """What the sentinel does on one connection. `hearing` is None where it shall only beat."""

    def __init__(
        self, connection: Any, presence: Presence, hearing: Hearing | None, inbox: Inbox
    ) -> None:
        self._connection = connection
        self._presence = presence
        self._hearing = hearing
        self._inbox = inbox
        self._heard = self._locked = self._lost = False
        connection.add_termination_listener(lambda _: self._break())

    def _break(self) -> None:
        self._lost = True
        self._inbox.put()

    async def open(self, direct: bool) -> None:
        """Become known, and beat for the first time. `direct`: we have heard here before."""
        await self._presence.register(self._connection)
        # A line that was direct before takes the lock first: it is free now, and others look.
        locked = direct and await self._take_lock()
        if self._hearing is not None:
            identity = self._presence.identity
            self._heard = await self._hearing.subscribe(self._connection, identity)
        self._locked = self._heard and (locked or await self._take_lock())
        await self._beat(relocked=True)

    async def serve(self) -> None:
        """Beat, and do as told, until we are to end. Raises ConnectionError when it breaks."""
        while not self._inbox.closed:
            if self._lost:
                raise ConnectionError("the connection was closed")
            left = self._presence.next_beat
            if left > 0:
                await self._obey(await self._inbox.wait(left))
            else:
                relocked = self._heard and not self._locked and await self._take_lock()
                self._locked = self._locked or relocked
                await self._beat(relocked=relocked)

    async def _obey(self, orders: list[str]) -> None:
        if "stamp" in orders:
            await self._presence.stamp(self._connection)
        if "forward" in orders:
            await self._presence.pass_on(self._connection)
        if "retake" in orders and self._locked and not await holds_lock(self._connection):
            raise ConnectionError("the session lock is gone")

    async def _beat(self, *, relocked: bool) -> None:
        await self._presence.beat(self._connection, locked=self._locked, relocked=relocked)

    async def _take_lock(self) -> bool:
        return await take_lock(self._connection, self._presence.identity.key)
