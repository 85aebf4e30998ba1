"""The wake-up: NOTIFY only when a worker says that it is idle, and at most every 20 ms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sql import verbs
from tests.support import eventually

Connect = Callable[..., Awaitable[Any]]
IDLE_MS = 60_000


class Ear:
    """Hears every channel of some workers, and the common one."""

    def __init__(self, on: Any) -> None:
        self.on = on
        self.heard: list[tuple[int, str]] = []

    async def listen(self, *numbers: int) -> None:
        for number in (0, -1, *numbers):
            channel = await self.on.fetchval("SELECT pgq_channel($1)", number)

            def note(_c: Any, _pid: int, _channel: str, payload: str, number: int = number) -> None:
                self.heard.append((number, payload))

            await self.on.add_listener(channel, note)

    async def all(self) -> list[tuple[int, str]]:
        """Everything sent before this call: a word of our own to wait for comes behind it."""
        await self.on.execute("SELECT pg_notify(pgq_channel(0), 'end')")

        async def ended() -> bool:
            return (0, "end") in self.heard

        await eventually(ended)
        heard = [word for word in self.heard if word != (0, "end")]
        self.heard.clear()
        return heard


@pytest.fixture
async def ear(connect: Connect, database: str) -> Ear:
    """An ear for workers 7 and 8, and for results."""
    made = Ear(await connect())
    await made.listen(7, 8)
    return made


async def idle(on: Any, worker: int) -> None:
    """The worker raises its flag."""
    await verbs.look(on, worker=worker, idle_ms=IDLE_MS)


async def stamp(on: Any, ms_ago: int) -> None:
    """Somebody was woken that long ago (by the database's clock)."""
    await on.execute("SELECT setval('pgq_woken', pgq_now_ms() - $1)", ms_ago)


async def test_nobody_idle_no_wake_up(conn: Any, ear: Ear) -> None:
    """Without an idle worker an enqueue notifies nobody."""
    await verbs.enqueue(conn, count=3)
    assert await ear.all() == []


async def test_the_idle_worker_is_told_the_lane(conn: Any, ear: Ear) -> None:
    """An enqueue wakes the worker that says it is idle, on its own channel, and names the lane."""
    await idle(conn, 7)
    await verbs.enqueue(conn)
    assert await ear.all() == [(7, str(await verbs.lane(conn)))]


async def test_a_plain_insert_wakes(conn: Any, ear: Ear) -> None:
    """A plain INSERT from psql wakes an idle worker too."""
    await idle(conn, 8)
    await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('work')")
    assert await ear.all() == [(8, str(await verbs.lane(conn)))]


async def test_several_lanes_name_none(conn: Any, ear: Ear) -> None:
    """A batch over several lanes wakes without naming one: the worker looks into all."""
    await idle(conn, 7)
    await verbs.queries(conn).enqueue(["one", "two"])
    assert await ear.all() == [(7, "")]


async def test_a_rolled_back_job_wakes_nobody(conn: Any, ear: Ear) -> None:
    """The wake-up is part of the transaction: no commit, no wake-up."""
    await idle(conn, 7)
    async with verbs.held(conn, end=verbs.UNDO):
        await verbs.enqueue(conn)
    assert await ear.all() == []


async def test_an_expired_flag_wakes_nobody(conn: Any, ear: Ear) -> None:
    """The idle flag ends by itself: a worker that died idle is not woken for ever."""
    await conn.execute("SELECT setval('pgq_idle', ((pgq_now_ms() - 1) << 20) | 7)")
    await verbs.enqueue(conn)
    assert await ear.all() == []


async def test_one_wake_up_in_twenty_ms(conn: Any, ear: Ear) -> None:
    """No wake-up is sent within 20 ms of the last one that arrived."""
    await idle(conn, 7)
    async with verbs.held(conn):
        # One transaction, so that the stamp and the enqueue lie close together on any machine.
        await conn.execute(
            """
            DO $$
            BEGIN
                LOOP
                    PERFORM setval('pgq_woken', pgq_now_ms());
                    INSERT INTO pgq_jobs (entrypoint) VALUES ('work');
                    EXIT WHEN pgq_now_ms() - (SELECT last_value FROM pgq_woken) < 20;
                END LOOP;
            END $$
            """
        )
    assert await ear.all() == []


async def test_after_twenty_ms_the_next_wake_up(conn: Any, ear: Ear) -> None:
    """A stamp older than 20 ms does not keep the next wake-up back."""
    await idle(conn, 7)
    await stamp(conn, 21)
    await verbs.enqueue(conn)
    assert len(await ear.all()) == 1


async def test_a_stamp_from_the_future_is_none(conn: Any, ear: Ear) -> None:
    """After the clock was set back, a stamp from the future does not silence the wake-ups."""
    await idle(conn, 7)
    await stamp(conn, -60_000)
    await verbs.enqueue(conn)
    assert len(await ear.all()) == 1


async def test_the_arrival_is_stamped(conn: Any) -> None:
    """The worker stamps the wake-up when it arrives, by the database's clock."""
    await verbs.call(conn, "stamp_woken")
    age = await conn.fetchval("SELECT pgq_now_ms() - last_value FROM pgq_woken")
    assert 0 <= age < 20_000


async def test_an_open_producer_silences_nobody(conn: Any, connect: Connect, ear: Ear) -> None:
    """A producer that has enqueued and stays open does not keep others from waking the worker."""
    other = await connect()
    await idle(conn, 7)
    async with verbs.held(other):
        await verbs.enqueue(other)
        await verbs.enqueue(conn)
        assert len(await ear.all()) == 1


async def test_a_fresh_flag_stands(conn: Any) -> None:
    """Of several idle workers one is named; the others do not fight for the flag."""
    await idle(conn, 7)
    await idle(conn, 8)
    assert await conn.fetchval("SELECT last_value & 1048575 FROM pgq_idle") == 7


async def test_a_flag_near_its_end_is_raised_again(conn: Any) -> None:
    """A flag that ends soon is taken over by the next idle worker."""
    await conn.execute("SELECT setval('pgq_idle', ((pgq_now_ms() + 10) << 20) | 7)")
    await idle(conn, 8)
    assert await conn.fetchval("SELECT last_value & 1048575 FROM pgq_idle") == 8


async def test_a_busy_look_raises_no_flag(conn: Any) -> None:
    """A worker that is not idle does not ask to be woken."""
    await verbs.look(conn, worker=7)
    assert await conn.fetchval("SELECT last_value FROM pgq_idle") == 0


@pytest.mark.parametrize(("delay", "words"), [(1, 1), (3600, 0)])
async def test_only_jobs_due_soon_wake(conn: Any, ear: Ear, delay: int, words: int) -> None:
    """A deferred job wakes an idle worker only when it is due before that worker's next look."""
    await idle(conn, 7)
    await verbs.enqueue(conn, run_at=timedelta(seconds=delay))
    assert len(await ear.all()) == words


@pytest.mark.parametrize("delay", [0.0, 60.0])
async def test_a_retry_wakes(conn: Any, ear: Ear, delay: float) -> None:
    """A job that goes back wakes an idle worker."""
    await verbs.enqueue(conn)
    (taken,) = (await verbs.claim(conn)).jobs
    await idle(conn, 7)
    await verbs.finish(conn, taken, "retry", delay=delay)
    assert [number for number, _ in await ear.all()] == [7]


async def test_jobs_that_go_back_to_two_lanes_name_none(conn: Any, ear: Ear) -> None:
    """Jobs that go back to several lanes in one flush wake without naming one of them."""
    await verbs.queries(conn).enqueue(["one", "two"])
    taken = (await verbs.claim(conn)).jobs
    await idle(conn, 7)
    await verbs.finish(conn, taken, "retry")
    assert await ear.all() == [(7, "")]


async def test_a_rescue_wakes(conn: Any, ear: Ear) -> None:
    """Jobs taken back from a dead worker wake an idle one."""
    await verbs.enqueue(conn)
    await verbs.claim(conn, worker=3)
    await idle(conn, 7)
    await verbs.rescue(conn, 3)
    assert [number for number, _ in await ear.all()] == [7]


async def test_a_retried_job_wakes(conn: Any, ear: Ear) -> None:
    """A finished job that somebody puts back wakes an idle worker."""
    job = await verbs.worked(conn, "failed")
    await idle(conn, 7)
    await verbs.retry(conn, job)
    assert [number for number, _ in await ear.all()] == [7]


async def test_finish_tells_nobody_by_default(conn: Any, ear: Ear) -> None:
    """Finishing notifies nobody while nobody has said that it waits for results."""
    await verbs.worked(conn)
    assert await ear.all() == []


async def test_finish_tells_who_waits(conn: Any, ear: Ear) -> None:
    """While somebody waits for results, finishing says which jobs have ended."""
    await verbs.call(conn, "expect", ms=60_000)
    await verbs.enqueue(conn, count=3)
    done, failed, again = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, [done, failed], shut=False)
    await verbs.finish(conn, again, "retry")
    assert await ear.all() == [(-1, f"{done.job_id},{failed.job_id}")]


async def test_finish_names_only_so_many(conn: Any, ear: Ear) -> None:
    """When more jobs end at once than a notification holds, none is named: look."""
    await verbs.call(conn, "expect", ms=60_000)
    await conn.execute("ALTER SEQUENCE pgq_jobs_id_seq RESTART WITH 9223372036854770000")
    for count, said in ((390, 390 * 20 - 1), (391, 0)):
        await verbs.enqueue(conn, count=count)
        await verbs.finish(conn, (await verbs.claim(conn, count)).jobs)
        [(number, ids)] = await ear.all()
        assert (number, len(ids)) == (-1, said)


async def test_a_rescue_tells_who_waits(conn: Any, ear: Ear) -> None:
    """A job that fails because its worker died has ended too: those who wait are told."""
    await verbs.call(conn, "expect", ms=60_000)
    worker = await verbs.register(conn)
    (job,) = await verbs.enqueue(conn, max_attempts=1)
    await verbs.claim(conn, worker=worker)
    await verbs.silence(conn, worker)
    assert await verbs.rescue(conn, worker) == {job: "failed"}
    assert await ear.all() == [(-1, str(job))]


async def test_the_wish_to_be_told_ends(conn: Any, ear: Ear) -> None:
    """The wish to hear of results ends by itself."""
    await conn.execute("SELECT setval('pgq_waiting', pgq_now_ms() - 1)")
    await verbs.worked(conn)
    assert await ear.all() == []


async def test_a_cancel_tells_who_waits(conn: Any, ear: Ear) -> None:
    """Cancelling a waiting job is a result too: those who wait are told."""
    await verbs.call(conn, "expect", ms=60_000)
    (job,) = await verbs.enqueue(conn)
    await verbs.cancel(conn, job)
    assert await ear.all() == [(-1, str(job))]


async def test_a_shorter_wait_shortens_no_longer_one(conn: Any) -> None:
    """Somebody who waits for a second does not end the wish of one who waits for a minute."""
    await verbs.call(conn, "expect", ms=60_000)
    before = await conn.fetchval("SELECT last_value FROM pgq_waiting")
    await verbs.call(conn, "expect", ms=1000)
    assert await conn.fetchval("SELECT last_value FROM pgq_waiting") == before
