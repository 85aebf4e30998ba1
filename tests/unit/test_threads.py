"""Plain handlers run in threads; the loop is woken once for all that have ended."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pgq_core.worker.threads import Threads


def call(number: int) -> int:
    """Returns it, or raises it when it is odd."""
    if number % 2:
        raise ValueError(number)
    return number


async def gathered(threads: Threads, count: int) -> list[Any]:
    """That many calls at once."""
    calls = [threads.run(lambda n=n: call(n)) for n in range(count)]  # type: ignore[misc]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_each_handler_keeps_its_own_result() -> None:
    """However many plain handlers end at once, each job gets its own result or error."""
    threads = Threads(4)
    found = await asyncio.wait_for(gathered(threads, 500), 60)
    threads.close()
    assert [value for value in found if isinstance(value, int)] == list(range(0, 500, 2))
    assert [value.args for value in found if not isinstance(value, int)] == [
        (number,) for number in range(1, 500, 2)
    ]


async def test_many_endings_wake_the_loop_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain handlers that end while the event loop is busy wake it together, not one by one."""
    loop, rung, ended = asyncio.get_running_loop(), [], threading.Barrier(9)
    ring = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *a: (rung.append(a), ring(*a)))
    threads = Threads(8)
    running = [asyncio.ensure_future(threads.run(ended.wait)) for _ in range(8)]
    await asyncio.sleep(0)  # they begin, and wait for us
    ended.wait(60)
    for thread in threads._pool._threads:  # the loop is busy until all have ended
        while thread.is_alive() and len(threads._ended) < 8:
            pass
    await asyncio.wait_for(asyncio.gather(*running), 60)
    threads.close()
    assert len(rung) < len(running)  # one, and one of who was between ending and ringing


async def test_a_waiter_that_is_gone_disturbs_nobody() -> None:
    """A job that is cancelled before its thread begins leaves the other jobs' results alone."""
    threads, gate = Threads(1), threading.Event()
    first = asyncio.ensure_future(threads.run(lambda: gate.wait(60)))
    second = asyncio.ensure_future(threads.run(lambda: 2))
    third = asyncio.ensure_future(threads.run(lambda: 3))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    found = await asyncio.wait_for(asyncio.gather(first, third), 60)
    threads.close()
    assert found == [True, 3]
    assert second.cancelled()
