"""The roads to the server: direct, through the proxy, through the pooler."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

from pgq_core.embedded import EmbeddedServer
from tests.chaos.proxy import Proxy
from tests.poolers.bouncer import Bouncer, find_pgbouncer

TAKEN = ("direct", "proxied", "direct", "pooled")  # by one process after the other


class Roads:
    """`bouncer` is None where PgBouncer is not installed: then nobody goes through a pooler."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._direct = server.dsn()
        parts = urlsplit(self._direct)
        self.proxy = Proxy((parts.hostname or "127.0.0.1", parts.port or 5432))
        self.bouncer: Bouncer | None = None

    async def open(self) -> None:
        """Put the proxy up, and PgBouncer in transaction mode."""
        await self.proxy.start()
        program = find_pgbouncer()
        if program is not None:
            self.bouncer = await asyncio.to_thread(
                Bouncer, program, self._direct, "transaction", 10
            )

    def of(self, number: int) -> str:
        """The road that the process on this seat takes."""
        road = TAKEN[number % len(TAKEN)]
        return "direct" if road == "pooled" and self.bouncer is None else road

    def dsn(self, road: str) -> str:
        """Where the road begins."""
        if road == "pooled" and self.bouncer is not None:
            return self.bouncer.dsn(self._direct)
        if road == "direct":
            return self._direct
        parts = urlsplit(self._direct)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.proxy.port}"))

    async def close(self) -> None:
        """Close them."""
        await self.proxy.stop()
        if self.bouncer is not None:
            self.bouncer.stop()
