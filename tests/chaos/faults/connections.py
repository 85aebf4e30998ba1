"""The network between client and server, by way of the proxy and the pooler."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault, to_its_end

if TYPE_CHECKING:
    from tests.chaos.seats import Seat
    from tests.chaos.stage import Stage

HOLE = 30.0
NETWORK = "network"


async def reset(stage: Stage, _: random.Random) -> None:
    """Every connection through the proxy is cut."""
    stage.happen("reset", proxied(stage))
    stage.roads.proxy.reset()


async def half_open(stage: Stage, chance: random.Random) -> None:
    """Half-open TCP: connections lead nowhere, and nobody is told; new ones work."""
    stage.happen("half_open", proxied(stage))
    async with stage.roads.proxy.half_open():
        await asyncio.sleep(stage.lease * chance.uniform(1.5, 4))


async def black_hole(stage: Stage, _: random.Random) -> None:
    """For 30 seconds nothing passes and nothing is refused; then it all arrives."""
    stage.happen("black_hole", proxied(stage))
    with stage.roads.proxy.black_hole():
        await asyncio.sleep(HOLE)


async def lose_claim(stage: Stage, _: random.Random) -> None:
    """The server has committed a claim; its answer is lost."""
    await answer(stage, "claim", "lose")


async def lose_finish(stage: Stage, _: random.Random) -> None:
    """The server has committed outcomes; its answer is lost."""
    await answer(stage, "finish", "lose")


async def lose_enqueue(stage: Stage, _: random.Random) -> None:
    """The server has committed new jobs; its answer is lost."""
    await answer(stage, "enqueue", "lose")


async def tear_an_answer(stage: Stage, chance: random.Random) -> None:
    """A connection is cut in the middle of an answer, to a claim, a flush or an enqueue."""
    await answer(stage, chance.choice(("claim", "finish", "enqueue")), "tear")


async def answer(stage: Stage, verb: str, what: str) -> None:
    """Give the order; it is carried out at the next such verb, if that comes soon."""
    stage.happen(f"{what}_{verb}" if what == "lose" else "tear_an_answer", proxied(stage))
    stage.roads.proxy.order(verb, what)
    await asyncio.sleep(1)
    stage.roads.proxy.forget(verb, what)


async def restart_the_pooler(stage: Stage, _: random.Random) -> None:
    """PgBouncer, in transaction mode, is killed and comes back under the same name."""
    if stage.roads.bouncer is not None:
        stage.happen("restart_the_pooler", [s for s in stage.workers if s.road == "pooled"])
        await to_its_end(asyncio.to_thread(stage.roads.bouncer.restart))


def proxied(stage: Stage) -> list[Seat]:
    """The workers behind the proxy."""
    return [seat for seat in stage.workers if seat.road == "proxied"]


FAULTS = (
    Fault(reset, 2),
    Fault(half_open, 1, alone=NETWORK),
    Fault(black_hole, 1, alone=NETWORK),
    Fault(lose_claim, 2),
    Fault(lose_finish, 2),
    Fault(lose_enqueue, 2),
    Fault(tear_an_answer, 2),
    Fault(restart_the_pooler, 1, alone="pooler"),
)
