"""Rate limits: the bound holds over every window, evenly spaced, whoever claims."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgq_core.errors import InvalidInput
from pgq_core.options import EntrypointOptions, Rate
from tests.flow import steps
from tests.flow.bench import Bench
from tests.flow.processes import Line, Processes
from tests.sql import verbs

SHIFT = "UPDATE pgq_rates SET next_at = next_at - $1::interval"


async def claimed(on: Any, count: int = 100) -> int:
    """How many jobs one claim takes."""
    return len((await steps.claim_limited(on, count)).jobs)


def busiest(starts: list[float], window: float) -> int:
    """The most starts in any stretch of that length."""
    return max(
        (sum(first <= other < first + window for other in starts) for first in starts), default=0
    )


# -- what can be said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/m", Rate(100, 60.0)), ("5/s", Rate(5, 1.0)), ("10/30s", Rate(10, 30.0)),
        ("1000/h", Rate(1000, 3600.0)), ("1/d", Rate(1, 86400.0)),
        ("100/m burst 10", Rate(100, 60.0, 10)), ("10/m per key", Rate(10, 60.0, 1, True)),
        (" 6 / 2 m burst 2 per key ", Rate(6, 120.0, 2, True)),
    ],
)  # fmt: skip
def test_how_a_rate_is_written(text: str, rate: Rate) -> None:
    """A rate is starts per time, with a burst and per key if asked for."""
    assert (
        EntrypointOptions(rate_limit=text).rate == EntrypointOptions(rate_limit=rate).rate == rate
    )


@pytest.mark.parametrize(
    "wrong",
    ["fast", "0/s", "5/0s", "5/y", "-1/s", "5/s burst 6", "5/s burst 0", 5, "5/s per queue",
     "1/99999d", "1000/99d burst 1000", "3000000000/s"],
)  # fmt: skip
def test_what_is_no_rate(wrong: Any) -> None:
    """What is no rate is refused where it is declared, by its value."""
    with pytest.raises(InvalidInput):
        EntrypointOptions(rate_limit=wrong)


# -- one claimer ----------------------------------------------------------------------------------


async def test_one_at_a_time(conn: Any) -> None:
    """Without a burst one job starts, and the claim says when the next may."""
    await steps.limit(conn, rate=60, period=60.0)
    await verbs.enqueue(conn, count=5)
    first = await steps.claim_limited(conn)
    assert len(first.jobs) == 1
    assert 0.9 < first.status["wait"] <= 1.0
    second = await steps.claim_limited(conn)
    assert (second.ids, second.status["wait"] <= 1.0) == ([], True)
    await conn.execute(SHIFT, timedelta(seconds=1))
    assert await claimed(conn) == 1


async def test_an_idle_time_is_not_saved_up(conn: Any) -> None:
    """After a long pause no more may start at once than the burst says."""
    await steps.limit(conn, rate=60, period=60.0, burst=3)
    await verbs.enqueue(conn, count=9)
    assert await claimed(conn) == 3
    await conn.execute(SHIFT, timedelta(hours=1))
    assert await claimed(conn) == 3


async def test_nothing_is_booked_for_nothing(conn: Any) -> None:
    """A claim that finds no job, or has no room for more, uses nothing of the rate."""
    await steps.limit(conn, rate=10, period=3600.0, burst=5)
    await verbs.enqueue(conn, count=1)
    assert [await claimed(conn) for _ in range(3)] == [1, 0, 0]
    await verbs.enqueue(conn, count=9)
    assert [await claimed(conn, 1), await claimed(conn)] == [1, 3]


async def test_a_rate_and_a_limit(conn: Any) -> None:
    """With both, both hold: a place must be free and the rate must allow it."""
    await steps.limit(conn, concurrency=2, rate=100, period=3600.0, burst=5)
    await verbs.enqueue(conn, count=9)
    first = await steps.claim_limited(conn)
    assert len(first.jobs) == 2
    await steps.finish(conn, first.jobs)
    assert [await claimed(conn), await claimed(conn)] == [2, 0]


async def test_a_rate_counts_keyed_jobs_too(conn: Any) -> None:
    """The rate of an entrypoint counts all its jobs, with keys or without, and keeps the keys'
    order: nobody is parked behind a job that did not start."""
    await steps.limit(conn, rate=100, period=3600.0, burst=2)
    ids = await steps.keyed(conn, ["a", "a", "b", "b", "c"])
    await verbs.enqueue(conn, count=2)
    first = await steps.claim_limited(conn)
    assert len(first.jobs) == 2
    assert await claimed(conn) == 0
    await steps.sweep(conn)
    order = first.ids
    await steps.finish(conn, first.jobs)
    for _ in range(20):
        await conn.execute(SHIFT, timedelta(hours=1))
        got = await steps.claim_limited(conn)
        order += got.ids
        if got.jobs:
            await steps.finish(conn, got.jobs)
    assert len(order) == 7
    by_key = [[id_ for id_ in order if id_ in pair] for pair in (ids[0:2], ids[2:4])]
    assert by_key == [ids[0:2], ids[2:4]]


async def test_a_rate_survives_its_workers(conn: Any) -> None:
    """When the next start is allowed stands in the database: a new worker keeps to it."""
    await steps.limit(conn, rate=1, period=3600.0)
    await verbs.enqueue(conn, count=2)
    assert await claimed(conn) == 1
    await steps.limit(conn, rate=1, period=3600.0)
    assert await claimed(conn) == 0


async def test_rates_long_free_are_tidied(conn: Any) -> None:
    """A rate that has been free for a minute leaves no row behind."""
    await steps.limit(conn, rate=1, period=1.0, per_key=True)
    await steps.keyed(conn, ["a", "b"])
    assert await claimed(conn) == 2
    await verbs.call(conn, "tidy")
    assert await verbs.count(conn, "pgq_rates") == 2
    await conn.execute(SHIFT, timedelta(minutes=2))
    await verbs.call(conn, "tidy")
    assert await verbs.count(conn, "pgq_rates") == 0


# -- per key --------------------------------------------------------------------------------------


async def test_per_key(conn: Any) -> None:
    """A rate per key holds for each key by itself; jobs that are too early are deferred until their
    turn and stand in nobody's way."""
    await steps.limit(conn, concurrency=5, rate=60, period=60.0, per_key=True)
    a1, a2, a3, b1 = await steps.keyed(conn, ["a", "a", "a", "b"])
    first = await steps.claim_limited(conn)
    assert first.ids == [a1, b1]
    assert 0.9 < first.status["wait"] <= 1.0
    rows = await conn.fetch(
        "SELECT job_id, run_at - now() AS wait FROM pgq_deferred ORDER BY run_at"
    )
    assert [row["job_id"] for row in rows] == [a2, a3]
    assert rows[1]["wait"] - rows[0]["wait"] >= timedelta(seconds=0.99)


async def test_per_key_in_order(conn: Any) -> None:
    """Under a rate per key and one place, jobs of a key start in order, never before their time."""
    await steps.limit(conn, rate=60, period=60.0, per_key=True)
    ids = await steps.keyed(conn, ["a"] * 4)
    order: list[int] = []
    for _ in range(4):
        got = await steps.claim_limited(conn)
        order += got.ids
        await steps.finish(conn, got.jobs)
        assert (await steps.claim_limited(conn)).ids == []
        await conn.execute(SHIFT, timedelta(seconds=1))
        await conn.execute("UPDATE pgq_deferred SET run_at = run_at - interval '1 s'")
        await verbs.look(conn)
    assert order == ids


async def test_promoted_too_early(conn: Any) -> None:
    """A deferred job that comes back before the rate allows it is deferred again, with its place."""
    await steps.limit(conn, rate=1, period=3600.0, per_key=True)
    first, second = await steps.keyed(conn, ["a", "a"])
    (taken,) = (await steps.claim_limited(conn)).jobs
    await steps.finish(conn, taken)
    for _ in range(2):
        assert (await steps.claim_limited(conn)).ids == []
        assert await verbs.state(conn, second) == "deferred"
        assert await steps.holders(conn) == {"key:a": [second]}
        await conn.execute("UPDATE pgq_deferred SET run_at = now()")
        await verbs.look(conn)
    assert first != second


# -- the bound ------------------------------------------------------------------------------------


@given(
    count=st.integers(1, 20),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=25),
    wanted=st.lists(st.integers(1, 8), min_size=25, max_size=25),
)
@settings(max_examples=15)
def test_over_any_window(
    bench: Bench, count: int, burst: int, pauses: list[float], wanted: list[int]
) -> None:
    """Whenever claims come, however much they want: no stretch of a period, wherever it begins,
    holds more starts than the rate says, the burst included."""
    rate, period = Rate(count, 2.0, min(burst, count)), timedelta(seconds=2)
    bench.reset()

    async def simulate() -> list[tuple[datetime, datetime]]:
        """Per start what the clock showed before and after; time is moved by moving the rate's."""
        on = bench.main
        await steps.limit(on, rate=rate.count, period=rate.period, burst=rate.burst)
        await verbs.insert(on, "work", 25 * 8)
        shifted = timedelta(0)
        starts: list[tuple[datetime, datetime]] = []
        for pause, want in zip(pauses, wanted, strict=False):
            before = await on.fetchval("SELECT clock_timestamp()")
            got = await claimed(on, want)
            after = await on.fetchval("SELECT clock_timestamp()")
            assert got <= rate.burst
            starts += [(before + shifted, after + shifted)] * got
            step = period / (rate.count - rate.burst + 1)
            await on.execute(SHIFT, pause * step)
            shifted += pause * step
        return starts

    starts = bench.run(simulate())
    for (before, _), (_, after) in zip(starts, starts[rate.count :], strict=False):
        assert after - before >= period


# -- workers --------------------------------------------------------------------------------------


async def test_two_workers_share_a_rate(processes: Processes, conn: Any) -> None:
    """Two processes with the same rate keep to it together: even spacing, no window with more than
    its share, and nothing is wasted."""
    for _ in range(2):
        processes.spawn(("nap", "slow", {"rate_limit": "40/s"}), concurrency=50)
    await processes.ready(conn, 2)
    await verbs.queries(conn).enqueue(["slow"] * 60)
    started = time.monotonic()
    lines = await processes.said("start", 60)
    took = time.monotonic() - started
    assert len({line.pid for line in lines}) == 2
    starts = sorted(line.at for line in lines)
    assert busiest(starts, 0.5) <= 20 + 3  # a handler begins a little after its place was booked
    assert starts[-1] - starts[0] >= 59 / 40 - 0.05
    assert took < 4.0


async def test_a_rate_per_key_over_two_workers(processes: Processes, conn: Any) -> None:
    """A rate per key holds over processes, key by key, and keeps each key's order."""
    options = {"rate_limit": "20/s per key"}
    for _ in range(2):
        processes.spawn(("nap", "slow", options), concurrency=50)
    await processes.ready(conn, 2)
    keys = [key for _ in range(10) for key in "abc"]
    ids = await verbs.queries(conn).enqueue(["slow"] * 30, concurrency_keys=keys)
    lines = await processes.said("start", 30)
    for place, key in enumerate("abc"):
        of_key: list[Line] = sorted((li for li in lines if li.key == key), key=lambda li: li.at)
        assert [line.job for line in of_key] == ids[place::3]
        assert of_key[-1].at - of_key[0].at >= 9 / 20 - 0.05
    assert max(line.at for line in lines) - min(line.at for line in lines) < 4.0
