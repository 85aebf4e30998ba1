"""Enqueue: one ordinary INSERT, in anybody's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from pgq_core.models import NewJob
from tests.sql import verbs
from tests.sql.verbs import KEEP, UNDO

Connect = Callable[..., Awaitable[Any]]
TABLES = ("pgq_jobs", "pgq_ready", "pgq_deferred", "pgq_lanes", "pgq_locks")


async def sizes(on: Any) -> dict[str, int]:
    return {table: await verbs.count(on, table) for table in TABLES}


async def test_a_plain_insert_is_a_job(conn: Any) -> None:
    """`INSERT INTO pgq_jobs (entrypoint, payload) VALUES (…)` enqueues, and returns the id."""
    job = await conn.fetchval(
        "INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('work', 'hello') RETURNING id"
    )
    assert await verbs.state(conn, job) == "ready"
    (taken,) = (await verbs.claim(conn)).jobs
    assert (taken.job_id, taken.entrypoint, taken.payload) == (job, "work", b"hello")


async def test_a_plain_insert_takes_the_defaults(conn: Any) -> None:
    """A job inserted with its name alone has queue `default` and priority 5."""
    await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('work')")
    (job,) = await verbs.queries(conn).get_jobs()
    assert (job.queue, job.priority, job.payload, job.run_at) == ("default", 5, b"", None)


async def test_a_plain_insert_with_run_at_waits(conn: Any) -> None:
    """A job inserted with a `run_at` to come is deferred, one with a past `run_at` is ready."""
    rows = await conn.fetch(
        """
        INSERT INTO pgq_jobs (entrypoint, run_at)
        VALUES ('later', now() + interval '1 hour'), ('now', now() - interval '1 hour')
        RETURNING id
        """
    )
    found = await verbs.states(conn)
    assert [found[row["id"]] for row in rows] == ["deferred", "ready"]


async def test_an_insert_of_nothing_is_nothing(conn: Any) -> None:
    """An INSERT … SELECT without rows enqueues nothing and does not fail."""
    await conn.execute("INSERT INTO pgq_jobs (entrypoint) SELECT 'work' WHERE false")
    assert set((await sizes(conn)).values()) == {0}


async def test_an_empty_name_is_refused(conn: Any) -> None:
    """A plain INSERT cannot make a job without a name."""
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('')")


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("queue", ""),
        ("max_attempts", 0),
        ("timeout", 0.0),
        ("timeout", -1.0),
        ("unique_for", 0.0),
        ("unique_while", "sometimes"),
        ("on_failure", "ignore"),
    ],
)
async def test_a_wrong_value_is_refused(conn: Any, column: str, value: Any, known: bool) -> None:
    """A plain INSERT with a value no worker understands fails, whether its lane is known or not."""
    if known:
        await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('work')")
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(
            f"INSERT INTO pgq_jobs (entrypoint, {column}) VALUES ('work', $1)", value
        )
    assert (await sizes(conn))["pgq_jobs"] == known


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("max_attempts", 3),
        ("timeout", 2.5),
        ("unique_for", 60.0),
        ("unique_while", "waiting"),
        ("on_failure", "run"),
        ("concurrency_key", "k"),
    ],
)
async def test_a_right_value_is_one_ready_job(conn: Any, column: str, value: Any) -> None:
    """Whatever a plain INSERT says besides the entrypoint, it is one job, ready to start."""
    for count in (1, 2):  # the second finds its lane known
        await conn.execute(
            f"INSERT INTO pgq_jobs (entrypoint, {column}) VALUES ('work', $1)", value
        )
        found = await sizes(conn)
        assert (found["pgq_jobs"], found["pgq_ready"], found["pgq_lanes"]) == (count, count, 1)


async def test_names_cut_elsewhere_are_another_lane(conn: Any) -> None:
    """Queue and entrypoint that read the same when put together are different lanes."""
    await conn.execute(
        "INSERT INTO pgq_jobs (queue, entrypoint) VALUES ('ab', 'c'), ('a', 'bc'), ('abc', 'd')"
    )
    assert await conn.fetchval("SELECT count(DISTINCT lane_id) FROM pgq_ready") == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [("run_at", "infinity"), ("run_at", "-infinity"), ("run_at", "20000-01-01"),
     ("run_at", "0044-03-15 BC"), ("created_at", "20000-01-01"), ("timeout", "NaN"),
     ("timeout", "Infinity"), ("unique_for", "Infinity")],
)  # fmt: skip
async def test_times_that_no_worker_can_read_are_refused(
    conn: Any, column: str, value: str
) -> None:
    """A plain INSERT cannot make a job that is due never, or in a year that Python does not know:
    every worker that saw it would fail."""
    await conn.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('a')")
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(f"INSERT INTO pgq_jobs (entrypoint, {column}) VALUES ('a', '{value}')")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await conn.execute(
            f"INSERT INTO pgq_jobs (entrypoint, unique_key, {column}) VALUES ('a', 'k', '{value}')"
        )
    assert caught.value.sqlstate in ("23514", "22008")  # not allowed; or no interval at all
    many = f"INSERT INTO pgq_jobs (entrypoint, {column}) VALUES ('a', '{value}'), ('a', DEFAULT)"
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(many)


@pytest.mark.parametrize("column", ["queue", "entrypoint", "concurrency_key"])
async def test_names_that_no_index_can_hold_are_refused(conn: Any, column: str) -> None:
    """A plain INSERT takes names of a thousand bytes at most: a longer key would keep every job
    behind it from being claimed."""
    fields = {"entrypoint": "a", column: "x" * 1000}
    insert = (
        f"INSERT INTO pgq_jobs ({', '.join(fields)})"
        f" VALUES ({', '.join(f'${n}' for n in range(1, 1 + len(fields)))})"
    )
    await conn.execute(insert, *fields.values())
    fields[column] += "x"
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(insert, *fields.values())


async def test_times_at_the_edge_are_taken(conn: Any) -> None:
    """The last moment that Python knows is a time like any other."""
    job = await conn.fetchval(
        "INSERT INTO pgq_jobs (entrypoint, run_at) VALUES ('a', '9999-12-31 23:59:59.9+00')"
        " RETURNING id"
    )
    assert (await verbs.queries(conn).get_job(job)).run_at.year == 9999


async def test_copy_enqueues(conn: Any) -> None:
    """COPY into pgq_jobs enqueues every row."""
    await conn.copy_records_to_table(
        "pgq_jobs",
        records=[("one", b"1"), ("two", b"2"), ("one", b"3")],
        columns=["entrypoint", "payload"],
    )
    claimed = await verbs.claim(conn)
    assert sorted(job.payload or b"" for job in claimed.jobs) == [b"1", b"2", b"3"]
    assert await verbs.count(conn, "pgq_lanes") == 2


async def test_a_users_trigger_enqueues(conn: Any) -> None:
    """A trigger of the user's own may enqueue."""
    await conn.execute(
        """
        CREATE TABLE orders (id int);
        CREATE FUNCTION ship() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO pgq_jobs (entrypoint, payload) VALUES ('ship', NEW.id::text::bytea);
            RETURN NEW;
        END $$;
        CREATE TRIGGER ship AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION ship();
        INSERT INTO orders VALUES (1), (2);
        """
    )
    assert [job.payload for job in (await verbs.claim(conn)).jobs] == [b"1", b"2"]


async def test_a_hundred_thousand_in_one_call(conn: Any) -> None:
    """100,000 jobs go in with one call, and their ids come back in input order."""
    count = 100_000
    ids = await verbs.enqueue(conn, count=count, payloads=[b"%d" % i for i in range(count)])
    assert ids == sorted(set(ids))
    assert len(ids) == count
    probes = [0, 1, 50_000, 99_999]
    rows = await conn.fetch(
        "SELECT payload FROM pgq_jobs WHERE id = ANY($1) ORDER BY id", [ids[i] for i in probes]
    )
    assert [row["payload"] for row in rows] == [b"%d" % i for i in probes]
    assert await verbs.count(conn, "pgq_ready") == count
    assert (await verbs.claim(conn, 3)).ids == ids[:3]


async def test_mixed_batches_keep_their_order(conn: Any) -> None:
    """In one call, names, priorities, keys and due times do not disturb the order of the ids."""
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    ids = await verbs.queries(conn).enqueue(
        ["b", "a", "c", "a"],
        payloads=[b"0", b"1", b"2", b"3"],
        priorities=[9, 0, 5, 0],
        run_at=[None, soon, None, None],
        unique_keys=["z", None, "y", "x"],
    )
    rows = await conn.fetch("SELECT id, payload FROM pgq_jobs")
    assert {row["id"]: row["payload"] for row in rows} == {
        job: b"%d" % i for i, job in enumerate(ids)
    }
    assert list((await verbs.states(conn, ids)).values()).count("deferred") == 1


async def test_a_delay_counts_from_the_databases_clock(conn: Any) -> None:
    """A delay becomes a due time by the database's clock; a delay of 0 is ready."""
    made = await verbs.queries(conn).enqueue_many(
        [NewJob("work", delay=0), NewJob("work", delay=3600), NewJob("work", delay=7200)]
    )
    found = await verbs.states(conn)
    assert [found[job.id] for job in made] == ["ready", "deferred", "deferred"]
    rows = await conn.fetch(
        "SELECT run_at - now() > interval '59 minutes' AS late FROM pgq_deferred ORDER BY run_at"
    )
    assert [row["late"] for row in rows] == [True, True]


async def test_no_jobs_is_no_work(conn: Any) -> None:
    """Enqueuing an empty list is allowed and returns an empty list."""
    assert await verbs.queries(conn).enqueue([]) == []


async def test_a_rollback_leaves_nothing(conn: Any) -> None:
    """When the transaction rolls back, the jobs are gone: no pointer, no lane, no key is left."""
    async with verbs.held(conn, end=UNDO):
        await verbs.enqueue(conn, count=3, unique_keys=["a", "b", "c"])
        await verbs.enqueue(conn, run_at=timedelta(hours=1))
        assert (await sizes(conn))["pgq_jobs"] == 4
    assert set((await sizes(conn)).values()) == {0}


async def test_a_savepoints_rollback_leaves_nothing(conn: Any) -> None:
    """Jobs enqueued after a savepoint are gone when it rolls back; those before it stay."""
    async with verbs.held(conn):
        (kept,) = await verbs.enqueue(conn, "kept")
        await conn.execute("SAVEPOINT here")
        await verbs.enqueue(conn, "gone", unique_keys="key", priorities=1)
        await conn.execute("ROLLBACK TO SAVEPOINT here")
    assert await verbs.states(conn) == {kept: "ready"}
    assert await sizes(conn) == {**dict.fromkeys(TABLES, 1), "pgq_deferred": 0, "pgq_locks": 0}


async def test_a_released_savepoint_keeps_its_jobs(conn: Any) -> None:
    """Jobs enqueued inside a released savepoint are ordinary jobs."""
    async with verbs.held(conn):
        await conn.execute("SAVEPOINT here")
        (job,) = await verbs.enqueue(conn)
        await conn.execute("RELEASE SAVEPOINT here")
    assert (await verbs.claim(conn)).ids == [job]


async def test_nobody_sees_a_job_before_its_commit(conn: Any, connect: Connect) -> None:
    """A job cannot be claimed before its transaction has committed, and can directly after."""
    other = await connect()
    async with verbs.held(conn):
        (job,) = await verbs.enqueue(conn)
        assert (await verbs.claim(other, of=[await verbs.lane(other)])).jobs == []
    assert (await verbs.claim(other)).ids == [job]


async def test_new_lanes_in_opposite_order(conn: Any, connect: Connect) -> None:
    """Two open transactions enqueue two new names in opposite order, and neither waits."""
    other = await connect()
    await verbs.impatient(conn)
    await verbs.impatient(other)
    async with verbs.held(conn), verbs.held(other):
        await verbs.enqueue(conn, "one")
        await verbs.enqueue(other, "two")
        await verbs.enqueue(conn, "two")
        await verbs.enqueue(other, "one")
    assert len((await verbs.claim(conn)).jobs) == 4


async def test_a_lane_listed_twice_is_claimed_once(conn: Any, connect: Connect) -> None:
    """Two producers that create the same lane at once leave two entries and no duplicate jobs."""
    other = await connect()
    async with verbs.held(conn), verbs.held(other):
        await verbs.enqueue(conn)
        await verbs.enqueue(other)
    assert await verbs.count(conn, "pgq_lanes") == 2
    rows = await verbs.call(conn, "lanes", entrypoints=["work"], queues=None)
    assert len(rows) == 1
    await verbs.call(conn, "tidy")
    assert await verbs.count(conn, "pgq_lanes") == 1
    assert len((await verbs.claim(conn)).jobs) == 2


# -- unique keys ------------------------------------------------------------------------------


async def test_a_duplicate_returns_the_existing_id(conn: Any) -> None:
    """Enqueuing a key that a live job holds makes no job and returns that job's id."""
    (first,) = await verbs.enqueue(conn, unique_keys="key", payloads=b"1")
    (second,) = await verbs.queries(conn).enqueue_many([NewJob("work", b"2", unique_key="key")])
    assert (second.id, second.fresh) == (first, False)
    assert [job.payload for job in (await verbs.claim(conn)).jobs] == [b"1"]


async def test_a_duplicate_leaves_the_transaction_usable(conn: Any) -> None:
    """A duplicate key does not spoil the caller's transaction."""
    await verbs.enqueue(conn, unique_keys="key")
    async with verbs.held(conn):
        await verbs.enqueue(conn, unique_keys="key")
        await conn.execute("INSERT INTO pgq_jobs (entrypoint, unique_key) VALUES ('work', 'key')")
        await verbs.enqueue(conn, "other")
    assert await verbs.count(conn, "pgq_jobs") == 2


async def test_duplicates_within_one_call(conn: Any) -> None:
    """A key given twice in one call makes one job, whose id is returned twice."""
    made = await verbs.queries(conn).enqueue_many(
        [NewJob("work", unique_key=key) for key in ("b", "a", "b", None, "a")]
    )
    ids = [job.id for job in made]
    assert (ids[0], ids[1]) == (ids[2], ids[4])
    assert len(set(ids)) == 3
    assert [job.fresh for job in made] == [True, True, False, True, False]
    assert len((await verbs.claim(conn)).jobs) == 3


async def test_a_duplicate_shifts_no_other_id(conn: Any) -> None:
    """A skipped duplicate in the middle of a batch does not move the ids of the others."""
    (held,) = await verbs.enqueue(conn, unique_keys="b")
    ids = await verbs.enqueue(
        conn, count=3, unique_keys=["a", "b", "c"], payloads=[b"a", b"b", b"c"]
    )
    assert ids[1] == held
    rows = await conn.fetch("SELECT id, unique_key FROM pgq_jobs")
    assert {row["id"]: row["unique_key"] for row in rows} == {ids[0]: "a", held: "b", ids[2]: "c"}


async def test_a_key_belongs_to_its_entrypoint(conn: Any) -> None:
    """The same key under two entrypoints means two jobs."""
    first, second = await verbs.queries(conn).enqueue(["one", "two"], unique_keys="key")
    assert first != second
    assert await verbs.count(conn, "pgq_locks") == 2


@pytest.mark.parametrize(("end", "winner"), [(KEEP, 0), (UNDO, 1)])
async def test_a_race_for_a_key_has_one_winner(
    conn: Any, connect: Connect, end: str, winner: int
) -> None:
    """The second enqueuer of a key waits for the first: it gets that job's id, or the key."""
    other, observer = await connect(), await connect()
    async with verbs.held(conn, end=end):
        (first,) = await verbs.enqueue(conn, unique_keys="key")
        async with verbs.waiting(
            observer, other, verbs.enqueue(other, unique_keys="key")
        ) as second:
            await conn.execute(end)
    (job,) = await second
    assert (job == first) is (winner == 0)
    assert list(await verbs.states(conn)) == [job]
    assert await verbs.held_keys(conn) == {"key": job}


async def test_a_lone_insert_races_too(conn: Any, connect: Connect) -> None:
    """A plain INSERT of a held key waits for the open transaction and then inserts nothing."""
    other, observer = await connect(), await connect()
    insert = "INSERT INTO pgq_jobs (entrypoint, unique_key) VALUES ('work', 'key')"
    async with verbs.held(conn):
        await conn.execute(insert)
        async with verbs.waiting(observer, other, other.execute(insert)) as second:
            await conn.execute(KEEP)
    assert await second == "INSERT 0 0"
    assert await verbs.count(conn, "pgq_jobs") == 1


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_a_key_is_free_again_at_the_end(conn: Any, outcome: str) -> None:
    """Once a job has its last outcome its key can be used again."""
    first = await verbs.worked(conn, outcome, unique_keys="key")
    (second,) = await verbs.enqueue(conn, unique_keys="key")
    assert second != first
    assert await verbs.held_keys(conn) == {"key": second}


async def test_keys_in_opposite_order(conn: Any, connect: Connect) -> None:
    """Two calls with the same keys in opposite order do not deadlock: keys are taken sorted."""
    other, observer = await connect(), await connect()
    async with verbs.held(conn):
        (held,) = await verbs.enqueue(conn, unique_keys="a")
        async with verbs.waiting(
            observer, other, verbs.enqueue(other, count=3, unique_keys=["c", "b", "a"])
        ) as second:
            # Had the other taken c or b before it waits for a, this would wait for it.
            mine = await asyncio.wait_for(verbs.enqueue(conn, count=2, unique_keys=["b", "c"]), 10)
            await conn.execute(KEEP)
    assert await second == [mine[1], mine[0], held]


async def test_the_holder_finishes_meanwhile(conn: Any, connect: Connect) -> None:
    """When the holder of a key finishes while we wait for it, the key goes to the new job."""
    other, observer = await connect(), await connect()
    (first,) = await verbs.enqueue(conn, unique_keys="key")
    (taken,) = (await verbs.claim(conn)).jobs
    async with verbs.held(conn):
        await verbs.finish(conn, taken)
        async with verbs.waiting(
            observer, other, verbs.enqueue(other, count=2, unique_keys=["key", None])
        ) as second:
            await conn.execute(KEEP)
    job, plain = await second
    assert first not in (job, plain)
    assert await verbs.held_keys(conn) == {"key": job}
    assert await verbs.states(conn) == {first: "succeeded", job: "ready", plain: "ready"}


async def test_a_finish_does_not_wait_for_an_enqueuer(conn: Any, connect: Connect) -> None:
    """A worker that ends a keyed job never waits for the transaction that enqueues its key."""
    other = await connect()
    (job,) = await verbs.enqueue(conn, unique_keys="key")
    (taken,) = (await verbs.claim(conn)).jobs
    await verbs.impatient(other)
    async with verbs.held(conn):
        assert await verbs.enqueue(conn, unique_keys="key") == [job]
        assert await verbs.finish(other, taken) == {}
    assert await verbs.held_keys(conn) == {}


async def test_a_key_whose_body_is_gone_is_swept(conn: Any) -> None:
    """A key left behind by a body deleted by hand is freed by the sweep."""
    (job,) = await verbs.enqueue(conn, unique_keys="key")
    await conn.execute("DELETE FROM pgq_jobs WHERE id = $1", job)
    assert await verbs.held_keys(conn) == {"key": job}
    await verbs.call(conn, "tidy")
    assert await verbs.held_keys(conn) == {}


async def test_the_sweep_leaves_live_keys_alone(conn: Any, connect: Connect) -> None:
    """The sweep frees no key of a live job, nor one whose transaction is still open."""
    other = await connect()
    (job,) = await verbs.enqueue(conn, unique_keys="one")
    async with verbs.held(other):
        (late,) = await verbs.enqueue(other, unique_keys="two")
        await verbs.call(conn, "tidy")
    assert await verbs.held_keys(conn) == {"one": job, "two": late}


async def test_repeatable_read_says_so(conn: Any, connect: Connect) -> None:
    """Under REPEATABLE READ a duplicate the snapshot cannot see raises 40001, as documented."""
    other = await connect()
    async with verbs.held(conn, "REPEATABLE READ", end=UNDO):
        await conn.fetchval("SELECT 1 FROM pgq_jobs LIMIT 1")
        await verbs.enqueue(other, unique_keys="key")
        with pytest.raises(asyncpg.SerializationError):
            await verbs.enqueue(conn, unique_keys="key")


# -- wrong input ------------------------------------------------------------------------------


class NoDatabase:
    """A driver that must not be reached."""

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        raise AssertionError("SQL was sent")


@pytest.mark.parametrize(
    "wrong",
    [
        {"payloads": [b"1"]},
        {"priorities": [1, 2, 3]},
        {"queues": []},
        {"run_at": [None]},
        {"unique_keys": ["a", "b", "c"]},
        {"headers": [{}]},
        {"max_attempts": [1]},
    ],
)
async def test_unequal_lists_are_refused(wrong: dict[str, Any]) -> None:
    """Lists of unequal length raise ValueError before any SQL is sent."""
    from pgq_core.queries import Queries

    with pytest.raises(ValueError, match=next(iter(wrong))):
        await Queries(NoDatabase()).enqueue(["a", "b"], **wrong)  # type: ignore[arg-type]
