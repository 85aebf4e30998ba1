"""Pause and resume, rotation of equals, shares of queues, and what priority means beside limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.errors import InvalidInput
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.worker import Worker
from tests.flow.processes import Processes
from tests.support import eventually
from tests.worker.harness import FAR, asleep, finished, sleep_far, working


class Order:
    """Handlers that note who started, and wait for a moment."""

    def __init__(self, pgq: PgQueuer, seconds: float = 0.002) -> None:
        self.pgq = pgq
        self.seconds = seconds
        self.started: list[str] = []
        self.running: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def register(self, name: str, **options: Any) -> None:
        @self.pgq.entrypoint(name, **options)
        async def handler(job: Job) -> None:
            self.started.append(name)
            self.running[name] = self.running.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.running[name])
            await asyncio.sleep(self.seconds)
            self.running[name] -= 1

    async def enqueue(self, name: str, count: int, **fields: Any) -> list[int]:
        return await self.pgq.queries.enqueue([name] * count, **fields)

    async def has_started(self, name: str, count: int = 1) -> None:
        async def enough() -> bool:
            return self.started.count(name) >= count

        await eventually(enough, what=f"{count} × {name}")


@pytest.fixture
def order(pgq: PgQueuer) -> Order:
    """What has started, in order."""
    return Order(pgq)


# -- pause and resume -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paused", "runs"),
    [
        ({"queue": "default"}, {"b"}), ({"queue": "mail"}, {"a"}), ({"entrypoint": "a"}, {"b"}),
        ({"queue": "mail", "entrypoint": "a"}, {"a", "b"}),
        ({"queue": "default", "entrypoint": "a"}, {"b"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limited", [None, 5], ids=["plain", "limited"])
async def test_pausing(
    order: Order, queries: Queries, conn: Any, paused: dict[str, str], runs: set[str], limited: Any
) -> None:
    """Pausing a queue, an entrypoint, or one in the other stops just that, with limits or without;
    resuming lets it go on at once."""
    order.register("a", concurrency_limit=limited)
    order.register("b", queue="mail", concurrency_limit=limited)
    await queries.pause(**paused)
    async with working(order.pgq, idle_look=10.0):
        a = await order.enqueue("a", 3)
        b = await order.enqueue("b", 3, queues="mail")
        await finished(conn, *(a if "a" in runs else []), *(b if "b" in runs else []))
        assert set(order.started) == runs
        await queries.resume(**paused)
        assert await finished(conn, *a, *b) == ["succeeded"] * 6


async def test_pausing_stops_every_worker_at_once(
    processes: Processes, queries: Queries, conn: Any
) -> None:
    """A pause reaches two busy processes within moments; what runs goes on; a worker that starts
    later keeps to it as well, and resuming reaches all."""
    for _ in range(2):
        processes.spawn(("nap", "slow", {}), concurrency=2)
    await processes.ready(conn, 2)
    ids = await queries.enqueue(["slow"] * 400, [{"seconds": 0.02}] * 400)
    await processes.said("start", 20)
    await queries.pause("default")

    async def calm() -> bool:
        before = len(processes.lines("start"))
        await asyncio.sleep(0.3)
        return len(processes.lines("start")) == before

    await eventually(calm, patience=5, what="nothing starts any more")
    done = len(processes.lines("start"))
    assert done < 300
    processes.spawn(("nap", "slow", {}), concurrency=2)
    await processes.ready(conn, 3)
    await asyncio.sleep(0.3)
    assert len(processes.lines("start")) == done
    assert len(processes.lines("end")) == done
    await queries.resume("default")
    await processes.said("end", 400)
    assert set(await finished(conn, *ids)) == {"succeeded"}


@pytest.mark.parametrize("limited", [None, 5], ids=["plain", "limited"])
async def test_resuming_wakes(
    order: Order, queries: Queries, conn: Any, monkeypatch: pytest.MonkeyPatch, limited: int | None
) -> None:
    """A worker that sleeps for long hears of the resume and starts what has waited at once."""
    sleep_far(monkeypatch)
    order.register("a", concurrency_limit=limited)
    await queries.pause("default")
    async with working(order.pgq, idle_look=FAR) as worker:
        ids = await order.enqueue("a", 3)
        await asleep(worker)
        began = asyncio.get_running_loop().time()
        await queries.resume("default")
        assert await finished(conn, *ids) == ["succeeded"] * 3
        assert asyncio.get_running_loop().time() - began < 2.0


async def test_pausing_nothing(queries: Queries) -> None:
    """A pause must name something."""
    with pytest.raises(InvalidInput, match="name a queue, an entrypoint, or both"):
        await queries.pause()


# -- rotation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", [{}, {"concurrency_keys": "k"}], ids=["plain", "keyed"])
async def test_a_flood_never_hides_another(order: Order, conn: Any, flood: dict[str, Any]) -> None:
    """While an entrypoint is flooded, others of the same priority get their turn, whether they have
    limits or not."""
    order.register("flood")
    order.register("few")
    order.register("limited", concurrency_limit=2)
    await order.enqueue("flood", 3000, **flood)
    async with working(order.pgq, concurrency=4):
        await order.has_started("flood", 3)
        ids = await order.enqueue("few", 3) + await order.enqueue("limited", 3)
        ids += await order.enqueue("few", 2, concurrency_keys=["a", "b"])
        before = order.started.count("flood")
        await finished(conn, *ids)
        assert order.started.count("flood") - before < 1000
        order.pgq.stop()


async def test_strict_priority(order: Order, conn: Any) -> None:
    """A better priority goes first, also when it is under a limit and the flood is not."""
    order.register("flood")
    order.register("urgent", concurrency_limit=1)
    await order.enqueue("flood", 2000, priorities=5)
    async with working(order.pgq, concurrency=2):
        await order.has_started("flood", 3)
        ids = await order.enqueue("urgent", 5, priorities=1)
        before = order.started.count("flood")
        await finished(conn, *ids)
        assert order.started.count("flood") - before < 400


async def test_without_a_floor_low_priorities_wait(order: Order, conn: Any) -> None:
    """By default priority is strict: while better ones are there, worse ones wait, limited or not."""
    order.register("flood")
    order.register("low")
    order.register("limited", concurrency_limit=5)
    low = await order.enqueue("low", 2, priorities=9) + await order.enqueue(
        "limited", 2, priorities=9
    )
    await order.enqueue("flood", 300, priorities=5)
    async with working(order.pgq, concurrency=2):
        await finished(conn, *low)
    assert order.started.count("flood") == 300
    assert set(order.started[:290]) == {"flood"}


async def test_a_floor_share(order: Order, conn: Any) -> None:
    """With `floor_share=` a part of the claims goes to low priorities first, limited or not: they
    never starve."""
    order.register("flood")
    order.register("low")
    order.register("limited", concurrency_limit=5)
    await order.enqueue("flood", 3000, priorities=5)
    low = await order.enqueue("low", 5, priorities=9) + await order.enqueue(
        "limited", 5, priorities=9
    )
    async with working(order.pgq, concurrency=2, floor_share=0.2):
        await finished(conn, *low)
        assert order.started.count("flood") < 1500
        order.pgq.stop()


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_wrong_floor_shares(share: float) -> None:
    """A floor share is from 0 to 0.5."""
    with pytest.raises(InvalidInput, match="floor_share"):
        WorkerOptions(floor_share=share)


# -- shares of queues -----------------------------------------------------------------------------


@pytest.mark.parametrize("limited", [None, 50], ids=["plain", "limited"])
async def test_shares(order: Order, conn: Any, limited: int | None) -> None:
    """`queues={"default": 3, "mail": 1}`: no queue has more jobs running than its share, each uses
    it to the full, and a slot that is free is used again at once."""
    order.seconds = 0.02
    order.register("work", concurrency_limit=limited)
    order.register("send", queue="mail", concurrency_limit=limited)
    ids = await order.enqueue("work", 60) + await order.enqueue("send", 20, queues="mail")
    loop = asyncio.get_running_loop()
    async with working(order.pgq, queues={"default": 3, "mail": 1}):
        began = loop.time()
        await finished(conn, *ids)
        took = loop.time() - began
    assert order.most == {"work": 3, "send": 1}
    assert took < 6.0  # 0.4 s of sleeping each; a worker that polls for free slots takes far longer


async def test_shares_beyond_the_concurrency(order: Order, conn: Any) -> None:
    """When the shares are more than the slots, the queues take turns: none waits for another to be
    empty."""
    order.register("work")
    order.register("send", queue="mail")
    await order.enqueue("work", 2000)
    async with working(order.pgq, concurrency=2, queues={"default": 2, "mail": 2}):
        await order.has_started("work", 3)
        before = order.started.count("work")
        mail = await order.enqueue("send", 5, queues="mail")
        await finished(conn, *mail)
        assert order.started.count("work") - before < 1000
        order.pgq.stop()


async def test_equals_rotate_within_each_queue(order: Order, conn: Any) -> None:
    """With two queues and two equal entrypoints in each, a flood hides nobody in either."""
    for queue in ("default", "mail"):
        order.register(f"{queue}-flood", queue=queue)
        order.register(f"{queue}-few", queue=queue)
        await order.enqueue(f"{queue}-flood", 1500, queues=queue)
    async with working(order.pgq, queues={"default": 2, "mail": 2}):
        await order.has_started("mail-flood", 3)
        few = [
            id_
            for queue in ("default", "mail")
            for id_ in await order.enqueue(f"{queue}-few", 3, queues=queue)
        ]
        await finished(conn, *few)
        assert order.started.count("default-flood") < 1000
        order.pgq.stop()


async def test_full_slots_do_not_spin(order: Order, conn: Any) -> None:
    """While every slot is taken by limited jobs and more wait, the loop sleeps and others run."""
    order.seconds = 0.3
    order.register("limited", concurrency_limit=10)
    await order.enqueue("limited", 6)
    async with working(order.pgq, concurrency=2) as worker:
        await order.has_started("limited", 2)
        assert await turns(worker, 0.2) < 50


async def turns(worker: Worker, seconds: float) -> int:
    """How often the worker's loop turns in that time; fails if it lets nothing else run."""
    count, step = 0, worker._step

    async def counted() -> None:
        nonlocal count
        count += 1
        await step()

    worker._step = counted  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(seconds)
    assert loop.time() - began < seconds + 0.2
    return count
