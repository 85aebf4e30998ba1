"""What a task's arguments may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pydantic
import pytest

from pgq_core import PgQueuer
from tests.tasks.running import drain


@dataclass
class Point:
    x: int
    y: Decimal


class Item(pydantic.BaseModel):
    sku: UUID
    price: Annotated[Decimal, pydantic.Field(gt=0)]
    # A value made when the job is enqueued must not be made again when it runs.
    token: UUID = pydantic.Field(default_factory=uuid4)
    seen: datetime | None = pydantic.Field(default=None, alias="lastSeen")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    at: datetime
    tags: set[str]


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


NOW = datetime(2026, 11, 24, 5, 24, tzinfo=timezone(timedelta(hours=2)))

SAMPLES: list[tuple[Any, Any]] = [
    (int, 2**70),
    (str, "ein Euro: €, ein Nullzeichen: \x00"),
    (bool, False),
    (bytes, b"\xff\x00"),
    (float, math.inf),
    (UUID, uuid4()),
    (Decimal, Decimal("0.10")),
    (datetime, NOW),
    (date, NOW.date()),
    (timedelta, timedelta(days=1, microseconds=5)),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (int | None, None),
    (Literal["a", "b"], "b"),
    (list[Point], [Point(1, Decimal("2.50"))]),
    (tuple[int, str], (1, "one")),
    (set[int], {1, 2, 3}),
    (dict[UUID, list[Colour]], {uuid4(): [Colour.RED]}),
    (Item, Item(sku=uuid4(), price=Decimal("9.99"), lastSeen=NOW)),
    (Strict, Strict(at=NOW, tags={"a"})),
    (Annotated[int, pydantic.Field(ge=0)], 0),
    (Any, {"free": ["form", 1, None]}),
]


@pytest.mark.parametrize(
    ("annotation", "value"), SAMPLES, ids=[str(kind)[:40] for kind, _ in SAMPLES]
)
async def test_a_task_receives_what_it_was_called_with(annotation: Any, value: Any) -> None:
    """A task gets the very values it was enqueued with, whatever JSON would have made of them."""
    pgq = PgQueuer()

    def echo(value: Any) -> Any:
        return value

    echo.__annotations__ = {"value": annotation}
    task = pgq.task()(echo)
    assert await task.call(value) == value
    assert type(await task.call(value)) is type(value)


async def test_every_kind_at_once_through_the_database(pgq: PgQueuer) -> None:
    """Dataclasses, models, UUIDs, dates and enums arrive through the queue as they were."""
    received: list[Any] = []

    @pgq.task()
    async def everything(
        point: Point, /, item: Item, colour: Colour = Colour.RED, *, at: datetime, keys: set[UUID]
    ) -> None:
        received.append((point, item, colour, at, keys))

    item, keys = Item(sku=uuid4(), price=Decimal(1)), {uuid4()}
    await everything.enqueue(Point(1, Decimal("1.10")), item, at=NOW, keys=keys)
    await drain(pgq)
    assert received == [(Point(1, Decimal("1.10")), item, Colour.RED, NOW, keys)]
