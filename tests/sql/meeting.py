"""A database whose functions have gates, and a pair that meets there in every order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from pgq_core.migrations import VERSION, script
from tests.sql import verbs
from tests.sql.gates import gated
from tests.sql.pairs import Pair
from tests.sql.scheduler import Explored, Scheduler, explore
from tests.sql.verbs import KEEP, UNDO
from tests.support import Databases

BOTH = ((KEEP, KEEP),)
EITHER = ((KEEP, KEEP), (KEEP, UNDO), (UNDO, KEEP))
LATTER = ((KEEP, KEEP), (KEEP, UNDO))


class Edit(NamedTuple):
    """A change of the schema's text; what it takes away must be there."""

    old: str
    new: str


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with these changes. Raises AssertionError when one does not apply, or twice."""
    for old, new in edits:
        assert text.count(old) == 1, f"{text.count(old)} times in the schema: {old}"
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def connections(dsn: str, count: int) -> AsyncIterator[list[Any]]:
    """So many connections."""
    opened = [await asyncpg.connect(dsn) for _ in range(count)]
    try:
        yield opened
    finally:
        for on in opened:
            on.terminate()


async def meet(
    databases: Databases,
    pair: type[Pair],
    ends: Sequence[Sequence[str]],
    edits: Sequence[Edit] = (),
    actors: int = 2,
    **fields: Any,
) -> Explored:
    """Let a pair meet in every order, with each of these ends. Raises Broken."""
    dsn, orders, waits = databases.create(), 0, 0
    try:
        async with connections(dsn, actors + 2) as (main, controller, *on):
            schema = gated(edited(script(VERSION), edits), pair.functions)
            await main.execute(schema)
            await verbs.look(main)  # begins the epoch, outside anybody's transaction
            scheduler = await Scheduler.on(controller, on)
            for end in ends:
                one = pair(main, end, actors=scheduler.actors, **fields)
                found = await explore(scheduler, one.prepare, one.check)
                orders, waits = orders + found.orders, waits + found.waits
    finally:
        databases.drop(dsn)
    return Explored(orders, waits)
