"""Limits over real worker processes, judged by a log outside the database."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from tests.flow.processes import Line, Process, Processes
from tests.sql import verbs
from tests.support import eventually
from tests.worker.harness import FAR, asleep, finished, sleep_far, working

pytestmark = pytest.mark.timeout(90)


def at_once(lines: list[Line], dead: dict[int, float], by: str = "entrypoint") -> dict[str, int]:
    """The most jobs that ran at one moment, per entrypoint or key. Who was killed ended there."""
    ends = {(line.job, line.attempt): line.at for line in lines if line.event == "end"}
    spans = defaultdict(list)
    for line in lines:
        if line.event == "start":
            end = ends.get((line.job, line.attempt), dead.get(line.pid, float("inf")))
            spans[getattr(line, by)] += [(line.at, 1), (end, -1)]
    most = {}
    for name, changes in spans.items():
        running = peak = 0
        for _, change in sorted(changes):
            running += change
            peak = max(peak, running)
        most[name] = peak
    return most


async def busy(processes: Processes, alive: list[Process]) -> Process | None:
    """One that runs a job right now."""
    ended = {(line.job, line.attempt) for line in processes.lines("end")}
    pids = {li.pid for li in processes.lines("start") if (li.job, li.attempt) not in ended}
    return next((process for process in alive if process.pid in pids), None)


async def all_done(conn: Any, count: int) -> None:
    """Wait until so many jobs have succeeded."""

    async def enough() -> bool:
        found = await conn.fetchval("SELECT count(*) FROM pgq_attempts WHERE outcome = 'succeeded'")
        return bool(found >= count)

    await eventually(enough, patience=60, what=f"{count} jobs have succeeded")


async def test_never_exceeded_under_sigkills(processes: Processes, conn: Any) -> None:
    """Three processes share a limit of 4 and keys with one place each while workers are killed and
    replaced: the limit is never exceeded, no two jobs of a key overlap, jobs of a key start in
    order, and every job is done."""
    handlers = (("nap", "limited", {"concurrency_limit": 4}), ("nap", "keyed", {}))

    def spawn() -> Process:
        return processes.spawn(*handlers, concurrency=10, lease=2.0)

    alive, dead = [spawn() for _ in range(3)], dict[int, float]()
    await processes.ready(conn, 3)
    queries, keys = verbs.queries(conn), [f"k{n % 6}" for n in range(60)]
    await queries.enqueue(["limited"] * 80, [{"seconds": 0.05}] * 80)
    ids = await queries.enqueue(["keyed"] * 60, [{"seconds": 0.05}] * 60, concurrency_keys=keys)
    for _ in range(4):
        await processes.said("end", len(processes.lines("end")) + 12)
        victim = await eventually(lambda: busy(processes, alive), what="somebody runs a job")
        alive.remove(victim)
        processes.kill(victim)
        dead[victim.pid] = time.time()
        alive.append(spawn())
    await all_done(conn, 140)
    lost = await conn.fetchval("SELECT count(*) FROM pgq_attempts WHERE outcome = 'lost'")
    assert lost > 0, "the kills were meant to hit somebody"
    lines = processes.lines()
    assert at_once(lines, dead)["limited"] <= 4
    assert set(at_once([li for li in lines if li.entrypoint == "keyed"], dead, "key").values()) == {
        1
    }
    for n in range(6):
        starts = [li.job for li in lines if li.event == "start" and li.key == f"k{n}"]
        assert list(dict.fromkeys(starts)) == ids[n::6]
    assert await verbs.count(conn, "pgq_holders") == await verbs.count(conn, "pgq_blocked") == 0


async def test_a_dead_holder_frees_its_place(processes: Processes, conn: Any) -> None:
    """When the process that holds the only place is killed, another one has it within about a
    second: the job that was running first, then the next."""
    handler = ("nap", "limited", {"concurrency_limit": 1})
    first = processes.spawn(handler)
    await processes.ready(conn, 1)
    queries = verbs.queries(conn)
    held, next_one = await queries.enqueue(["limited"] * 2, [{"seconds": 60}, {"seconds": 0}])
    await processes.said("start")
    processes.spawn(handler)
    await processes.ready(conn, 2)
    processes.kill(first)
    killed = time.time()
    line = (await processes.said("start", 2))[-1]
    assert line.at - killed < 3.0  # about one on a quiet machine
    await queries.cancel([held])
    assert await finished(conn, next_one) == ["succeeded"]


async def test_hand_over_takes_milliseconds(pgq: PgQueuer, other: PgQueuer, conn: Any) -> None:
    """From the end of one job of a key to the start of the next takes milliseconds, whichever of two
    workers runs it."""
    ends: list[float] = []
    gaps: list[float] = []

    def register(on: PgQueuer) -> None:
        @on.entrypoint("keyed")
        async def keyed(job: Job) -> None:
            if ends:
                gaps.append(time.monotonic() - ends[-1])
            await asyncio.sleep(0.005)
            ends.append(time.monotonic())

    register(pgq)
    register(other)
    async with working(pgq), working(other):
        ids = await pgq.queries.enqueue(["keyed"] * 60, concurrency_keys="k")
        assert set(await finished(conn, *ids)) == {"succeeded"}
    gaps.sort()
    assert gaps[len(gaps) // 2] < 0.03
    assert gaps[-1] < 1.0


async def test_a_place_freed_wakes_an_idle_worker(
    pgq: PgQueuer, other: PgQueuer, conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place freed by a worker that has no slot left is used by an idle one at once, not at its
    next poll."""
    sleep_far(monkeypatch)
    gate, started = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("limited", concurrency_limit=1)
    async def here(job: Job) -> None:
        started.set()
        await gate.wait()

    @pgq.entrypoint("long")
    async def long(job: Job) -> None:
        await asyncio.sleep(60)

    there: list[float] = []

    @other.entrypoint("limited", concurrency_limit=1)
    async def elsewhere(job: Job) -> None:
        there.append(time.monotonic())

    async with working(pgq, concurrency=1, shutdown_timeout=0.0) as full:

        async def knows_better() -> bool:
            return any(lane.entrypoint == "long" for lane in full.lanes.by_id.values())

        await pgq.queries.enqueue("limited")
        await asyncio.wait_for(started.wait(), 10)
        async with working(other, idle_look=FAR) as idle:
            (second,) = await pgq.queries.enqueue("limited")
            await pgq.queries.enqueue(["long"] * 3, priorities=0)
            await eventually(knows_better)  # a new lane, seen by its next look
            await asleep(idle)
            freed = time.monotonic()
            gate.set()
            assert await finished(conn, second) == ["succeeded"]
            assert there[0] - freed < 2.0


async def test_twenty_thousand_of_one_key(pgq: PgQueuer, conn: Any) -> None:
    """20,000 jobs of one busy key at the head hold up neither another key nor another entrypoint
    for more than a moment."""
    began = asyncio.Event()

    @pgq.entrypoint("keyed")
    async def keyed(job: Job) -> None:
        if job.concurrency_key == "busy":
            began.set()
            await asyncio.sleep(60)

    @pgq.entrypoint("plain")
    async def plain(job: Job) -> None: ...

    await conn.execute(
        "INSERT INTO pgq_jobs (entrypoint, concurrency_key) "
        "SELECT 'keyed', 'busy' FROM generate_series(1, 20000)"
    )
    async with working(pgq, concurrency=5, shutdown_timeout=0.0):
        await asyncio.wait_for(began.wait(), 10)
        at = time.monotonic()
        quiet = await pgq.queries.enqueue(["keyed"] * 3, concurrency_keys=["a", "b", "c"])
        ordinary = await pgq.queries.enqueue(["plain"] * 3)
        assert await finished(conn, *ordinary) == ["succeeded"] * 3
        assert time.monotonic() - at < 3.0
        assert await finished(conn, *quiet) == ["succeeded"] * 3
        assert time.monotonic() - at < 10.0
