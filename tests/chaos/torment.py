"""Draws faults from a seed and inflicts them, a few at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence

from tests.chaos.faults import Fault
from tests.chaos.stage import ANY_ERROR, Stage

AT_ONCE = 6
PAUSE = (0.1, 0.8)  # between two draws; a single fault comes four times as rarely


async def torment(stage: Stage, seconds: float, faults: Sequence[Fault]) -> None:
    """Until the time is over; what is under way then is ended."""
    chance, end = random.Random(stage.seed), time.monotonic() + seconds
    weights = [fault.weight for fault in faults]
    slower = max(1.0, 4 / len(faults))
    under_way: set[asyncio.Task[None]] = set()
    number = 0
    while time.monotonic() < end:
        await asyncio.sleep(slower * chance.uniform(*PAUSE))
        (fault,) = chance.choices(faults, weights)
        number += 1
        if len(under_way) < AT_ONCE and is_possible(stage, fault, chance):
            own = random.Random(f"{stage.seed}/{number}")
            task = asyncio.ensure_future(inflict(stage, fault, own))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    await finish(under_way)


def is_possible(stage: Stage, fault: Fault, chance: random.Random) -> bool:
    """Not while one that it must not meet is under way; and, every other time, only while half of
    the workers would go on: on a slow machine most would be about to start all the time."""
    few = 2 * (len(stage.working) - 1) < len(stage.workers)
    if fault.takes and few and chance.random() < 0.5:
        return False
    return fault.alone is None or not stage.locks.setdefault(fault.alone, asyncio.Lock()).locked()


async def inflict(stage: Stage, fault: Fault, chance: random.Random) -> None:
    """Once; it may hit the suite's own connection, too."""
    async with contextlib.AsyncExitStack() as stack:
        if fault.alone is not None:
            await stack.enter_async_context(stage.locks[fault.alone])
        with contextlib.suppress(*ANY_ERROR):
            await fault.inflict(stage, chance)


async def finish(under_way: set[asyncio.Task[None]]) -> None:
    """Faults that last are ended: whoever was stopped goes on, what was held is released."""
    tasks = list(under_way)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
