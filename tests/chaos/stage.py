"""The stage: a server, a proxy, producers and workers as processes; faults drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from pgq_core.db import AsyncpgDriver
from pgq_core.embedded import EmbeddedServer
from pgq_core.queries import Queries
from tests.chaos.faults import ANY_ERROR, FAULTS, Fault
from tests.chaos.proxy import Proxy

Process = asyncio.subprocess.Process
LEFT = """
SELECT (SELECT count(*) FROM pgq_ready) + (SELECT count(*) FROM pgq_deferred)
     + (SELECT count(*) FROM pgq_blocked) + (SELECT count(*) FROM pgq_leases)
"""


@dataclass
class Stage:
    """Everything that runs; `server` listens on TCP so that a proxy can stand before it."""

    server: EmbeddedServer
    folder: Path
    seed: int
    lease: float = 2.0
    rate: float = 40.0
    workers: list[Process] = field(default_factory=list)
    producers: list[Process] = field(default_factory=list)
    drawn: Counter[str] = field(default_factory=Counter)
    proxy: Proxy = field(init=False)
    restarting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def log(self) -> str:
        """The oracle's file."""
        return str(self.folder / "oracle")

    @property
    def proxied(self) -> str:
        """The DSN through the proxy."""
        parts = urlsplit(self.server.dsn())
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.proxy.port}"))

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the suite's own, past the proxy."""
        connection = await asyncpg.connect(self.server.dsn(), timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()

    async def open(self, workers: int, producers: int) -> None:
        """Install, start the proxy and everybody."""
        parts = urlsplit(self.server.dsn())
        self.proxy = Proxy((parts.hostname or "127.0.0.1", parts.port or 5432))
        await self.proxy.start()
        async with self.admin() as connection:
            await Queries(AsyncpgDriver(connection)).initialize()
        self.workers = [await self._worker(i) for i in range(workers)]
        self.producers = [await self._producer(i) for i in range(producers)]

    async def _worker(self, number: int) -> Process:
        # Every second worker goes through the proxy.
        dsn = self.proxied if number % 2 else self.server.dsn()
        return await self._spawn("worker", dsn, self.log, self.lease)

    async def _producer(self, number: int) -> Process:
        dsn = self.proxied if number % 2 else self.server.dsn()
        return await self._spawn("producer", dsn, self.log, self.seed + number, self.rate)

    async def _spawn(self, module: str, *arguments: object) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", f"tests.chaos.{module}", *map(str, arguments)
        )

    async def replace_worker(self, number: int, how: signal.Signals) -> None:
        """Signal a worker and start another in its place."""
        old = self.workers[number]
        with contextlib.suppress(ProcessLookupError):
            old.send_signal(how)
        self.workers[number] = await self._worker(number)
        await old.wait()

    async def replace_producer(self, number: int) -> None:
        """Kill a producer and start another in its place."""
        with contextlib.suppress(ProcessLookupError):
            self.producers[number].kill()
        await self.producers[number].wait()
        self.producers[number] = await self._producer(number + len(self.producers))

    async def torment(self, seconds: float, only: list[Fault] | None = None) -> None:
        """Draw faults until the time is over, sometimes two at once."""
        chance, end = random.Random(self.seed), time.monotonic() + seconds
        names = [fault for fault, _ in FAULTS if only is None or fault in only]
        weights = [weight for fault, weight in FAULTS if only is None or fault in only]
        while time.monotonic() < end:
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            drawn = chance.choices(names, weights, k=1 if chance.random() < 0.8 else 2)
            await asyncio.gather(*[self._inflict(fault, chance) for fault in drawn])

    async def _inflict(self, fault: Fault, chance: random.Random) -> None:
        self.drawn[fault.__name__] += 1
        with contextlib.suppress(*ANY_ERROR):  # a fault may hit the suite's own connection too
            await fault(self, chance)

    async def settle(self, timeout: float) -> float:
        """Stop producing, let the workers finish; returns the seconds it took."""
        for producer in self.producers:
            with contextlib.suppress(ProcessLookupError):
                producer.kill()
            await producer.wait()
        started = time.monotonic()
        while time.monotonic() - started < timeout:
            with contextlib.suppress(*ANY_ERROR):
                async with self.admin() as connection:
                    if await connection.fetchval(LEFT) == 0:
                        return time.monotonic() - started
            await asyncio.sleep(0.1)
        return float("inf")

    async def close(self) -> None:
        """Stop the workers in order."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)
        await asyncio.gather(*[worker.wait() for worker in self.workers])
        await self.proxy.stop()
