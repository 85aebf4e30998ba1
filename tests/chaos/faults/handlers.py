"""Handlers that take their process along, or do not let it breathe."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

ALWAYS = "99"
TIMES = ("1", "1", "1", "2", ALWAYS)


async def segfault(stage: Stage, chance: random.Random) -> None:
    """A handler that crashes the interpreter, once, twice or every time."""
    await stage.enqueue("segfault", chance.choice(TIMES))


async def out_of_memory(stage: Stage, chance: random.Random) -> None:
    """A handler that is killed with SIGKILL, as the kernel does for memory."""
    await stage.enqueue("out_of_memory", chance.choice(TIMES))


async def hang_in_c(stage: Stage, chance: random.Random) -> None:
    """A handler that hangs in C, holding the interpreter's lock, for two lease times."""
    await stage.enqueue("hang_in_c", "1")


async def block_the_loop(stage: Stage, chance: random.Random) -> None:
    """A handler that blocks the event loop for longer than the lease."""
    await stage.enqueue("block_the_loop", "1")


async def exhaust_the_pool(stage: Stage, chance: random.Random) -> None:
    """More handlers hold a connection of their worker's pool than it has."""
    stage.happen("exhaust_the_pool")
    await stage.enqueue("hog", count=12)


FAULTS = (
    Fault(segfault, 2, takes=True),
    Fault(out_of_memory, 2, takes=True),
    Fault(hang_in_c, 1),
    Fault(block_the_loop, 1, calm=True),
    Fault(exhaust_the_pool, 1, calm=True),
)
