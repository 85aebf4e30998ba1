"""The connections of the machine, on a loop of their own, kept over all examples."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from tests.sql import verbs
from tests.sql.conftest import EMPTY
from tests.sql.verbs import UNDO

T = TypeVar("T")


@dataclass
class Bench:
    """One connection for what is done at once, two producers, two claimers, one that is late."""

    loop: asyncio.AbstractEventLoop
    main: Any
    producers: list[Any]
    claimers: list[Any]
    late: Any

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    @property
    def open_ended(self) -> list[Any]:
        """The connections that hold transactions open."""
        return [*self.producers, *self.claimers, self.late]

    async def reset(self) -> None:
        """Nothing is left of the example before."""
        for on in self.open_ended:
            await on.execute(UNDO)
        await self.main.execute(EMPTY.replace("pg_terminate_backend(a.pid)", ""))
        await verbs.look(self.main)  # begins the epoch, outside anybody's transaction

    @classmethod
    async def open(cls, dsn: str) -> Bench:
        """Connect. Whoever would wait for a lock fails: the rules must know who waits for whom."""
        on = [await asyncpg.connect(dsn) for _ in range(6)]
        for one in on:  # ROLLBACK outside a transaction is no news
            await one.execute("SET client_min_messages = error; SET lock_timeout = '5s'")
        return cls(asyncio.get_running_loop(), on[0], on[1:3], on[3:5], on[5])

    async def close(self) -> None:
        """Close everything."""
        for on in (self.main, *self.open_ended):
            await on.close()
