"""A process of one peer: `python -m benchmarks.peers.child NAME VERB '{"dsn": …}'`; answers JSON."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

CHUNK = 1000
CONNECTIONS = 32


async def prepare(peer: Any, dsn: str) -> None:
    """Make the peer's tables."""
    await _soon(peer.prepare, dsn)


async def bulk(peer: Any, dsn: str, count: int) -> dict[str, float]:
    """Enqueue jobs 0 to count - 1 by the peer's bulk call; how long that took."""
    async with peer.producer(dsn, 1) as producer:
        started = time.perf_counter()
        for first in range(0, count, CHUNK):
            await _soon(producer.many, range(first, min(count, first + CHUNK)))
        return {"seconds": time.perf_counter() - started}


async def singles(peer: Any, dsn: str, seconds: float) -> dict[str, float]:
    """Transactions of one job each from 32 connections, as fast as they go."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONNECTIONS))
    async with peer.producer(dsn, CONNECTIONS) as producer:
        numbers = iter(range(10**9))
        await asyncio.gather(*[_soon(producer.one, next(numbers)) for _ in range(CONNECTIONS)])
        started = time.perf_counter()

        async def hammer() -> None:
            while time.perf_counter() < started + seconds:
                await _soon(producer.one, next(numbers))

        await asyncio.gather(*[hammer() for _ in range(CONNECTIONS)])
        return {"count": next(numbers) - CONNECTIONS, "seconds": time.perf_counter() - started}


async def trickle(
    peer: Any, dsn: str, count: int, first: int, gap: list[float]
) -> list[tuple[int, float]]:
    """One job now and then; when each commit had returned."""
    committed = []
    async with peer.producer(dsn, 1) as producer:
        for number in range(first, first + count):
            await asyncio.sleep(random.uniform(*gap))
            await _soon(producer.one, number)
            committed.append((number, time.time()))
    return committed


async def pour(peer: Any, dsn: str, rate: float, seconds: float) -> dict[str, float]:
    """Open loop: job n is due at n / rate, whatever has become of those before it."""
    async with peer.producer(dsn, 1) as producer:
        await _soon(producer.many, range(1))
        started, sent, total = time.time() + 0.1, 1, int(rate * seconds)
        while sent < total:
            due = min(total, int((time.time() - started) * rate))
            if due > sent:
                await _soon(producer.many, range(sent, min(due, sent + CHUNK)))
                sent = min(due, sent + CHUNK)
            else:
                await asyncio.sleep(0.005)
        return {"started": started, "count": total, "late": time.time() - started - seconds}


async def _soon(call: Callable[..., Any], *args: Any) -> None:
    """Await a coroutine function, run a plain one in a thread."""
    if inspect.iscoroutinefunction(call):
        awaitable: Awaitable[Any] = call(*args)
        await awaitable
    else:
        await asyncio.to_thread(call, *args)


def main() -> None:
    """Say which verb, do it, print the answer."""
    _, name, verb, text = sys.argv
    peer, options = import_module(f"benchmarks.peers.adapters.{name}"), json.loads(text)
    if verb == "work":
        peer.work(options["dsn"])
        return
    if getattr(peer, "UVLOOP", True):
        import uvloop

        uvloop.install()
    print(json.dumps(asyncio.run(globals()[verb](peer, **options))))


if __name__ == "__main__":
    main()
