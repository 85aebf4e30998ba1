"""Processes are killed, stopped, replaced, and wrong about the time."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault, to_its_end
from tests.chaos.release import NEXT
from tests.support import eventually

if TYPE_CHECKING:
    from tests.chaos.seats import Seat
    from tests.chaos.stage import Stage


async def nothing(stage: Stage, _: random.Random) -> None:
    """Nothing at all: what the others are compared with."""
    stage.happen("nothing")


async def kill_worker(stage: Stage, chance: random.Random) -> None:
    """SIGKILL a worker; another takes its place."""
    seat = stage.any_worker(chance)
    stage.happen("kill_worker", [seat])
    await seat.replace(signal.SIGKILL)


async def kill_producer(stage: Stage, chance: random.Random) -> None:
    """SIGKILL a producer in the middle of whatever it does."""
    seat = chance.choice(stage.producers)
    stage.happen("kill_producer", [seat])
    await seat.replace(signal.SIGKILL)


async def deploy(stage: Stage, chance: random.Random) -> None:
    """SIGTERM a worker; another takes its place once its jobs have ended."""
    seat = stage.any_worker(chance)
    stage.happen("deploy", [seat])
    await seat.replace(signal.SIGTERM)


async def suspend(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP a worker for longer than its lease, then SIGCONT."""
    seat = stage.any_worker(chance)
    process = seat.process
    stage.happen("suspend", [seat])
    seat.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(stage.lease * chance.uniform(1.2, 2.5))
    finally:
        if process is seat.process:
            seat.signal(signal.SIGCONT)


async def wrong_clock(stage: Stage, chance: random.Random) -> None:
    """A worker comes whose clock is an hour ahead, or behind."""
    seat = stage.any_worker(chance)
    seat.clock = chance.choice((3600.0, -3600.0))
    stage.happen("wrong_clock", [seat])
    await seat.replace(signal.SIGTERM)


async def next_release(stage: Stage, chance: random.Random) -> None:
    """The next release installs its schema and works beside this one, whose workers go on."""
    seat = chance.choice(stage.workers[: len(stage.workers) // 2])
    first = not any(one.release == NEXT for one in stage.workers)
    stage.happen("next_release", [seat])
    await to_its_end(bring(stage, seat, first))


async def bring(stage: Stage, seat: Seat, first: bool) -> None:
    """A worker of the next release comes, and upgrades if it is the first."""
    seat.release = NEXT
    await seat.replace(signal.SIGTERM)
    if first:  # those that run go on; whoever comes from here on is new, or outdated
        await upgraded(stage)


async def upgraded(stage: Stage) -> None:
    """Wait until the next version is installed; other faults may hold the tables, or kill it."""
    async with stage.admin() as connection:

        async def installed() -> bool:
            query = "SELECT value FROM pgq_meta WHERE key = 'version'"
            return int(await connection.fetchval(query)) == NEXT

        await eventually(installed, patience=60, what="the next release has installed its schema")


FAULTS = (
    Fault(nothing, 0, calm=True),
    Fault(kill_worker, 20, takes=True),
    Fault(kill_producer, 2),
    Fault(deploy, 2, calm=True, takes=True),
    Fault(suspend, 3, takes=True),
    Fault(wrong_clock, 2, calm=True, takes=True),
    Fault(next_release, 1, calm=True, takes=True, alone="release"),
)
