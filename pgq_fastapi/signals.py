"""Hear SIGTERM and SIGINT beside the server, which tells us only after its HTTP drain."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalChain:
    """While entered, `hear(signal)` is called in the loop, and the server's handler too.

    At a second Ctrl-C a server may drop everything, our loop included: it is told of it only when
    `hurry()` is over. Outside the main thread Python allows no handlers; then nobody is heard, and
    nothing breaks.
    """

    def __init__(
        self, hear: Callable[[int], None], hurry: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._hear = hear
        self._hurry = hurry
        self._loop = asyncio.get_running_loop()
        self._times: Counter[int] = Counter()
        self._previous: dict[int, Any] = {}
        self._hurrying: asyncio.Task[None] | None = None

    def __enter__(self) -> SignalChain:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            # Whoever came after us chains to us, or replaced us: then it is not ours to undo.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if previous is None else previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._times[number] += 1
        # A terminal's Ctrl-C reaches our parent too, which passes SIGTERM on: that is no second.
        second = number == signal.SIGINT and self._times[number] == 2
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hear_second if second else self._hear, number)
        if not second or self._loop.is_closed():
            self._pass_on(number, frame)

    def _hear_second(self, number: int) -> None:
        async def hurry() -> None:
            try:
                await self._hurry()
            finally:
                self._pass_on(number, None)

        self._hurrying = self._loop.create_task(hurry())

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
        elif previous is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
