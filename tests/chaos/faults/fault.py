"""What one fault is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

Inflict = Callable[["Stage", random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """`calm`: nobody may lose a job over it, not even for a while. `forgets`: the server crashes and
    may forget a claim, so that an attempt begins twice. `takes`: a worker ends or stops, so others
    should work then. `alone`: of those with one name here only one is under way at a time."""

    inflict: Inflict
    weight: int
    calm: bool = False
    forgets: bool = False
    takes: bool = False
    alone: str | None = None

    @property
    def name(self) -> str:
        """As it is called on the command line."""
        return self.inflict.__name__

    @property
    def words(self) -> str:
        """What it does, for people."""
        return (self.inflict.__doc__ or self.name).strip().partition("\n\n")[0]


async def to_its_end(work: Coroutine[Any, Any, Any]) -> None:
    """Do not leave it half done, even when the time is over."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
