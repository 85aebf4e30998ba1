"""Threads for plain handlers. What ends while the loop is busy comes back to it together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Ended = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


class Threads:
    """As `loop.run_in_executor`, but the loop is woken once for all calls that have ended.

    Each waking is a system call that gives the interpreter's lock away, which costs more than a
    short handler does.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pgq-handler")
        self._loop = asyncio.get_running_loop()
        self._ended: deque[Ended] = deque()
        self._rung = False

    async def run(self, call: Callable[[], Any]) -> Any:
        """Run it in a thread; what it returns or raises."""
        future = self._loop.create_future()
        self._pool.submit(self._work, future, call)
        return await future

    def close(self) -> None:
        """Let the threads end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
        try:
            self._ended.append((future, call(), None))
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is the handler's)
            self._ended.append((future, None, error))
        if not self._rung:
            self._rung = True
            self._loop.call_soon_threadsafe(self._empty)  # a closed loop raises, and nobody asks

    def _empty(self) -> None:
        self._rung = False  # first: what ends from now on rings anew
        while self._ended:
            future, value, error = self._ended.popleft()
            if future.done():  # cancelled before the call began
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
