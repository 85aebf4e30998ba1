"""Orders from the worker's loop to the sentinel's, across two threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class Inbox:
    """Orders are put down in the sentinel's own loop, so that none is lost between the threads."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event
        self._orders: list[str] = []

    @property
    def closed(self) -> bool:
        """Whether the sentinel is to end."""
        return self._closed.is_set()

    def open(self) -> None:
        """Be read in the loop that runs here."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()

    def close(self) -> None:
        """Tell the sentinel to end."""
        self._closed.set()
        self.put()

    def put(self, *orders: str) -> None:
        """Give orders, from any thread; none: wake who waits here."""

        def wake() -> None:
            self._orders += orders
            self._wake.set()

        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(wake)

    async def wait(self, seconds: float) -> list[str]:
        """The orders that have come, none when the time is over."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except asyncio.TimeoutError:
            return []
        self._wake.clear()
        orders, self._orders = self._orders, []
        return orders

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until the sentinel is to end."""
        await asyncio.to_thread(self._closed.wait, seconds)
