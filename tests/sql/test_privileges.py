"""The roles of docs/privileges.md: each may do its work, and needs all it is granted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgq_core.models import NewJob
from tests.sql import verbs
from tests.sql.verbs import BEGINNING, NO_TIME

Connect = Callable[..., Awaitable[Any]]
Step = Callable[[Any, "Scene"], Awaitable[Any]]

PAGE = Path(__file__).parents[2] / "docs" / "privileges.md"
ROLES = ("producer", "worker", "admin")
FAR = datetime(2030, 1, 1, tzinfo=timezone.utc)


def statements() -> str:
    """The SQL of the page, whole."""
    blocks = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return "\n".join(blocks.findall(PAGE.read_text("utf-8")))


class Back(Exception):
    """Ends a transaction by rolling it back."""


@asynccontextmanager
async def undone(on: Any) -> AsyncIterator[None]:
    """A transaction, or a savepoint in one, that is rolled back."""
    try:
        async with on.transaction():
            yield
            raise Back
    except Back:
        pass


# -- a database in which every verb has something to do ---------------------------------------


@dataclass
class Scene:
    """Jobs in the places that the verbs look at."""

    running: list[verbs.Taken]
    limited: verbs.Taken
    keyed: verbs.Taken
    dead: int
    finished: int
    failed: int
    waiting: int


async def limited_claim(
    on: Any, worker: int, count: int, name: str = "tight", kind: str = "plain"
) -> list[verbs.Taken]:
    rows = await verbs.call(
        on, "claim_limited", worker=worker, token=1, count=count,
        lanes=[await verbs.lane(on, name, kind=kind)], floors=[0], kinds=[kind],
        entrypoints=[name], caps=[5],
    )  # fmt: skip
    return [verbs.taken_of(row, worker, 1) for row in rows[:-1]]


async def prepare(on: Any) -> Scene:
    """Set the scene, as the owner."""
    queries = verbs.queries(on)
    await verbs.call(on, "declare_limits", **limits("tight"))
    finished = await verbs.worked(on, unique_keys="old")
    failed = await verbs.worked(on, "failed", unique_keys="failed")
    dead = await verbs.register(on)
    await verbs.enqueue(on, "lost", 4, unique_keys=["l1", "l2", "l3", "l4"])
    taken: list[verbs.Taken] = []
    for crash in range(3):  # at the third, one is alone and one has been asked to stop
        of = [await verbs.lane(on, "lost", kind=kind) for kind in ("plain", "again", "alone")]
        taken = (await verbs.claim(on, 2, worker=dead, of=of)).jobs
        if crash < 2:
            await verbs.silence(on, dead)
            await verbs.rescue(on, dead)
            await on.execute("INSERT INTO pgq_workers (worker_id, name, lease_seconds) "
                             "VALUES ($1, 'dead', 15)", dead)  # fmt: skip
    await verbs.cancel(on, taken[0].job_id)
    await verbs.enqueue(on, "tight", 3)
    (limited,) = await limited_claim(on, dead, 1)
    await verbs.enqueue(on, "keyed", 4, concurrency_keys="k", unique_keys=["k1", "k2", "k3", "k4"])
    (keyed,) = await limited_claim(on, 70, 1, "keyed", "keyed")
    await verbs.silence(on, dead)
    await verbs.enqueue(on, "work", 8, unique_keys=[f"w{i}" for i in range(8)])
    running = (await verbs.claim(on, 8, worker=70, of=[await verbs.lane(on)])).jobs
    await verbs.cancel(on, running[0].job_id)
    (waiting,) = [job.id for job in await queries.enqueue_many(
        [NewJob("work", after=[running[1].job_id, limited.job_id], unique_key="after")]
    )]  # fmt: skip
    await verbs.enqueue(on, "work", run_at=timedelta(hours=1))
    await on.execute("UPDATE pgq_deferred SET run_at = now() - interval '1 s'")
    await on.execute("UPDATE pgq_cancels SET requested_at = now() - interval '1 hour'")
    await verbs.enqueue(on, "gone", unique_keys="gone")
    await on.execute("DELETE FROM pgq_jobs WHERE entrypoint = 'gone'")
    await verbs.enqueue(on, "work", 5)
    await on.execute("INSERT INTO pgq_lanes (lane_id, priority, queue, entrypoint) "
                     "SELECT lane_id, priority, queue, entrypoint FROM pgq_lanes")  # fmt: skip
    return Scene(running, limited, keyed, dead, finished, failed, waiting)


def limits(*names: str) -> dict[str, Any]:
    """The arguments of declare_limits: two at a time, a hundred per second."""
    return {
        "unlimited": ["free"],
        "entrypoints": list(names),
        "concurrencies": [2] * len(names),
        "rates": [100] * len(names),
        "periods": [1.0] * len(names),
        "bursts": [10] * len(names),
        "per_keys": [False] * len(names),
    }


# -- what each role does ----------------------------------------------------------------------


async def plain_insert(on: Any, scene: Scene) -> None:
    """INSERT … RETURNING id, ready and deferred."""
    await on.fetch(
        "INSERT INTO pgq_jobs (entrypoint, run_at) "
        "VALUES ('new', NULL), ('new', $1), ('work', NULL) RETURNING id",
        FAR,
    )


async def unique_insert(on: Any, scene: Scene) -> None:
    insert = "INSERT INTO pgq_jobs (entrypoint, unique_key) VALUES ('work', 'key') RETURNING id"
    await on.fetch(insert)
    assert await on.fetch(insert) == []


async def one(on: Any, scene: Scene) -> None:
    await verbs.queries(on).enqueue("work", run_at=timedelta(seconds=1))


async def many(on: Any, scene: Scene) -> None:
    await verbs.queries(on).enqueue(["work", "other"], unique_keys=["a", None])


async def after(on: Any, scene: Scene) -> None:
    await verbs.queries(on).enqueue_many([NewJob("work", after=[scene.finished, scene.waiting])])


async def replace(on: Any, scene: Scene) -> None:
    await verbs.queries(on).enqueue_many(
        [NewJob("work", unique_key="after", on_duplicate="replace"), NewJob("work")]
    )


async def batch(on: Any, scene: Scene) -> None:
    (made,) = await verbs.queries(on).enqueue_many([NewJob("work")])
    await verbs.queries(on).make_batch([made.id], None)


PRODUCER: list[Step] = [plain_insert, unique_insert, one, many, after, replace, batch]


async def start(on: Any, scene: Scene) -> None:
    """A worker process begins: check, register, beat, listen, declare."""
    await verbs.queries(on).check()
    worker = await verbs.register(on)
    for relocked in (True, False):
        await verbs.call(
            on, "beat", worker=worker, name="w", lease=15.0, info="{}", stalled=0.0, running=0,
            listener="off", locked=True, relocked=relocked,
        )  # fmt: skip
    await verbs.call(on, "stamp_woken")
    await verbs.call(on, "tell_all", message="look")
    await verbs.call(on, "declare_limits", **limits("tight", "other"))
    await verbs.call(on, "unregister_worker", worker=worker)


async def claim(on: Any, scene: Scene) -> None:
    of = await verbs.lanes(on)
    await verbs.call(on, "lanes", entrypoints=["work"])
    await verbs.claim(
        on, 3, worker=2, of=of, look=True, idle_ms=3000, floor_lanes=of, floors=[0] * len(of),
        schedules=["s"], limited=of, limited_floors=[0] * len(of),
    )  # fmt: skip
    await limited_claim(on, 2, 1)
    await limited_claim(on, 2, 1, "keyed", "keyed")


async def finish(on: Any, scene: Scene) -> None:
    await verbs.call(on, "own_leases", worker=70, lowest=0)
    await verbs.call(on, "job_lanes", jobs=[scene.running[0].job_id])
    await verbs.call(on, "progress", id=scene.running[0].job_id, attempt=1, message="half")
    await verbs.call(on, "progress", id=scene.running[0].job_id, attempt=1, message="done")
    later, now, *others, last = scene.running
    await verbs.finish(on, later, "retry", delay=60.0, shut=False)
    await verbs.finish(on, now, "succeeded", shut=False)
    await verbs.finish(on, others[0], "retry", shut=False)
    await verbs.finish(on, others[1:], "snooze", shut=False, delay=60.0)
    await verbs.finish(on, last, "failed")
    await verbs.finish(on, scene.limited, limited=True)
    await verbs.finish(on, scene.keyed, limited=True)


async def refused(on: Any, scene: Scene) -> None:
    await verbs.finish(on, verbs.stranger(scene.running[0]))


async def rescue(on: Any, scene: Scene) -> None:
    await verbs.call(on, "orphans")
    assert len(await verbs.rescue(on, scene.dead)) == 3


async def upkeep(on: Any, scene: Scene) -> None:
    await verbs.call(on, "tidy")
    await verbs.call(on, "sweep")
    await verbs.queries(on).prune_batches(0)
    await prune(on, scene)


async def prune(on: Any, scene: Scene) -> None:
    (row,) = await verbs.call(on, "prune", from_id=0, limit=1000, **verbs.ANY_AGE)
    assert row["pruned"] > 0


async def schedules(on: Any, scene: Scene) -> None:
    for cron in ("0 9 * * *", "0 10 * * *"):
        await verbs.call(
            on, "declare_schedule", name="s", cron=cron, timezone="UTC", catch_up="last",
            entrypoint="work", queue="default", priority=5, jitter=0.0, origin="code",
        )  # fmt: skip
    await verbs.call(on, "due_schedules", schedules=["s"])
    await verbs.call(on, "fire_schedule", name="s", cron="0 10 * * *", timezone="UTC",
                     expected=None, next_at=FAR, ticks=[BEGINNING])  # fmt: skip


WORKER: list[Step] = [start, claim, finish, refused, rescue, upkeep, schedules]


async def look_around(on: Any, scene: Scene) -> None:
    queries = verbs.queries(on)
    await queries.check()
    await queries.get_jobs(states=["failed"])
    await queries.get_job(scene.failed)
    await queries.get_attempts(scene.failed)
    await queries.get_progress(scene.failed)
    await queries.counts()
    await queries.workers()
    await queries.health()
    await verbs.call(on, "expect", ms=1000)
    await verbs.call(on, "batch_progress", batch=1)
    await verbs.call(on, "depth", queue="default", limit=10)


async def steer(on: Any, scene: Scene) -> None:
    queries = verbs.queries(on)
    await queries.cancel([scene.waiting, scene.running[1].job_id, scene.finished])
    await queries.cancel([row[0] for row in await on.fetch("SELECT job_id FROM pgq_ready")])
    await queries.cancel([row[0] for row in await on.fetch("SELECT job_id FROM pgq_deferred")])
    assert set((await queries.retry([scene.failed, scene.finished])).values()) == {"retried"}
    await queries.pause("default")
    await queries.pause("default")
    await queries.resume("default")


async def schedule(on: Any, scene: Scene) -> None:
    await schedules(on, scene)
    await verbs.call(on, "get_schedules")
    await verbs.call(on, "run_schedule", name="s")
    for paused in (True, False):
        await verbs.call(on, "pause_schedule", name="s", paused=paused)
    await verbs.call(on, "delete_schedule", name="s")


async def redrive(on: Any, scene: Scene) -> None:
    await verbs.call(on, "delete_jobs", jobs=[scene.finished])
    await verbs.call(on, "redrive", seconds=0.0, limit=10)


async def prune_all(on: Any, scene: Scene) -> None:
    await verbs.queries(on).prune(succeeded=NO_TIME, failed=NO_TIME, cancelled=NO_TIME)


ADMIN: list[Step] = [look_around, steer, schedule, redrive, prune_all]

STEPS = {"producer": PRODUCER, "worker": WORKER, "admin": ADMIN}


# -- the roles --------------------------------------------------------------------------------


@pytest.fixture
async def scene(conn: Any) -> Scene:
    """The database, set."""
    return await prepare(conn)


@pytest.fixture
async def roles(conn: Any, scene: Scene) -> AsyncIterator[dict[str, str]]:
    """The page's roles, under names of this test's own: roles belong to the whole server."""
    mark = f"_{conn.get_server_pid()}"
    names = {role: f"pgq_{role}{mark}" for role in ROLES}
    text = re.sub(r"\bpgq_(producer|worker|admin)\b", lambda m: m[0] + mark, statements())
    await conn.execute(text)
    yield names
    for name in names.values():
        await conn.execute(f"DROP OWNED BY {name}")
    for name in names.values():
        await conn.execute(f"DROP ROLE {name}")


SIGNS = """
SELECT setval(s.seqrelid, CASE s.seqrelid WHEN 'pgq_flow'::regclass THEN 1 ELSE 0 END)
FROM pg_sequence AS s
WHERE s.seqmin = 0
"""  # the sequences that hold a sign, not a number: as if nobody had set them


async def perform(on: Any, role: str, steps: list[Step], scene: Scene) -> None:
    """All the steps, each as the role and undone."""
    for step in steps:
        async with undone(on):
            await on.execute(SIGNS)
            await on.execute(f"SET LOCAL ROLE {role}")
            await step(on, scene)


GRANTS = """
WITH holder AS (SELECT oid FROM pg_roles WHERE rolname = $1)
SELECT format('%s ON %s %s', a.privilege_type, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE '' END,
              c.oid::regclass)
FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
WHERE a.grantee = (SELECT oid FROM holder)
UNION ALL
SELECT format('%s (%I) ON %s', a.privilege_type, t.attname, t.attrelid::regclass)
FROM pg_attribute AS t CROSS JOIN aclexplode(t.attacl) AS a
WHERE a.grantee = (SELECT oid FROM holder)
UNION ALL
SELECT format('%s ON FUNCTION %s', a.privilege_type, p.oid::regprocedure)
FROM pg_proc AS p CROSS JOIN aclexplode(p.proacl) AS a
WHERE a.grantee = (SELECT oid FROM holder)
"""


async def grants(on: Any, role: str) -> list[str]:
    """Everything granted to the role itself, piece by piece; the schema is left out."""
    return sorted({row[0] for row in await on.fetch(GRANTS, role)})


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_can_do_its_work(
    conn: Any, scene: Scene, roles: dict[str, str], role: str
) -> None:
    """With what docs/privileges.md grants, producer, worker and admin can do all they have to."""
    await perform(conn, roles[role], STEPS[role], scene)


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_needs_all_it_has(
    conn: Any, scene: Scene, roles: dict[str, str], role: str
) -> None:
    """docs/privileges.md grants nothing that could be left out."""
    name, idle = roles[role], []
    async with undone(conn):
        for grant in await grants(conn, name):
            async with undone(conn):
                await conn.execute(f"REVOKE {grant} FROM {name}")
                try:
                    await perform(conn, name, STEPS[role], scene)
                except asyncpg.InsufficientPrivilegeError:
                    continue
                idle.append(grant)
    assert idle == []


FORBIDDEN = {
    "producer": [
        "SELECT payload FROM pgq_jobs",
        "SELECT * FROM pgq_job_states",
        "UPDATE pgq_jobs SET payload = 'x'",
        "DELETE FROM pgq_jobs",
        "SELECT * FROM pgq_ready",
        "INSERT INTO pgq_ready (lane_id, position, job_id) VALUES (1, 1, 1)",
        "SELECT pgq_cancel('{1}', NULL)",
        "SELECT nextval('pgq_positions')",
        "SELECT setval('pgq_idle', 1)",
        "SELECT pgq_wake('')",
        "INSERT INTO pgq_attempts (job_id, attempt, outcome) VALUES (1, 1, 'failed')",
    ],
    "worker": [
        "UPDATE pgq_jobs SET payload = 'x'",
        "UPDATE pgq_attempts SET outcome = 'failed'",
        "TRUNCATE pgq_jobs",
        "DROP TABLE pgq_jobs",
        "INSERT INTO pgq_meta VALUES ('version', '0')",
    ],
    "admin": [
        "UPDATE pgq_jobs SET payload = 'x'",
        "UPDATE pgq_attempts SET outcome = 'failed'",
        "TRUNCATE pgq_jobs",
        "DROP TABLE pgq_jobs",
        "INSERT INTO pgq_meta VALUES ('version', '0')",
    ],
}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_can_do_no_more(conn: Any, roles: dict[str, str], role: str) -> None:
    """No role may rewrite payloads or history; a producer reads nothing but ids."""
    for statement in FORBIDDEN[role]:
        async with undone(conn):
            await conn.execute(f"SET LOCAL ROLE {roles[role]}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with conn.transaction():
                    await conn.execute(statement)


@pytest.mark.parametrize("steps", [PRODUCER[i : i + 1] for i in range(4)])
async def test_a_stranger_cannot_enqueue(conn: Any, scene: Scene, steps: list[Step]) -> None:
    """A role that was granted nothing cannot enqueue, not even through our functions."""
    async with undone(conn):
        await conn.execute("CREATE ROLE pgq_stranger")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await perform(conn, "pgq_stranger", steps, scene)


async def test_a_stranger_cannot_borrow_our_triggers(conn: Any) -> None:
    """Nobody can put our trigger functions on a table of his own, to write into ours."""
    async with undone(conn):
        await conn.execute(
            """
            CREATE ROLE pgq_stranger;
            CREATE SCHEMA stranger AUTHORIZATION pgq_stranger;
            CREATE TABLE stranger.jobs (LIKE pgq_jobs);
            ALTER TABLE stranger.jobs OWNER TO pgq_stranger;
            SET LOCAL ROLE pgq_stranger;
            """
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(
                "CREATE TRIGGER mine AFTER INSERT ON stranger.jobs REFERENCING NEW TABLE AS fresh "
                "FOR EACH STATEMENT EXECUTE FUNCTION pgq_fan_out()"
            )
