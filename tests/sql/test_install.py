"""Install, check, uninstall: idempotent, in any schema, beside the user's own tables."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from pgq_core.db import AsyncpgDriver, AsyncpgPoolDriver
from pgq_core.errors import SchemaMissing, SchemaNewer, SchemaOutdated
from pgq_core.migrations import VERSION
from pgq_core.queries import Queries, schema
from tests.sql import verbs

Connect = Callable[..., Awaitable[Any]]
ODD_SCHEMAS = ["Jobs", 'say "hi"', "mit Leerzeichen", "süß", "select", "a.b", "it's"]

EVERYTHING = """
SELECT n.nspname || '.' || c.relname AS object, c.relkind::text AS kind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT n.nspname || '.' || p.oid::regprocedure::text, 'function'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT n.nspname, 'schema' FROM pg_namespace n WHERE n.nspname !~ '^pg_'
UNION ALL
SELECT t.tgname || ' on ' || t.tgrelid::regclass::text, 'trigger'
FROM pg_trigger t WHERE NOT t.tgisinternal
ORDER BY 2, 1
"""

USERS_OWN = """
CREATE TABLE jobs (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE job_queue (id int REFERENCES jobs (id));
CREATE TABLE pgqueuer (id int);
CREATE TABLE pgq_mine (id int);
CREATE SEQUENCE pgq_my_numbers;
CREATE FUNCTION pgq_my_helper() RETURNS int LANGUAGE sql AS 'SELECT 7';
CREATE VIEW job_names AS SELECT name FROM jobs;
CREATE SEQUENCE tickets;
CREATE TYPE job_status AS ENUM ('new', 'done');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO jobs (name) VALUES ('mine');
INSERT INTO job_queue VALUES (1);
"""


async def everything(on: Any) -> list[tuple[str, str]]:
    return [tuple(row) for row in await on.fetch(EVERYTHING)]


async def test_ten_at_once(empty_database: str, connect: Connect) -> None:
    """Ten processes may initialize the same database at once: all succeed, one installs."""
    connections = [await connect() for _ in range(10)]
    found = await asyncio.gather(
        *(schema.initialize(AsyncpgDriver(one), "public") for one in connections)
    )
    assert sorted(found) == [0] + [VERSION] * 9
    assert len(await verbs.enqueue(connections[0])) == 1


async def test_ten_at_once_in_a_new_schema(empty_database: str, connect: Connect) -> None:
    """Ten processes may also race for the creation of the schema itself."""
    connections = [await connect() for _ in range(10)]
    await asyncio.gather(*(verbs.queries(one, "new").initialize() for one in connections))
    assert len(await verbs.queries(connections[3], "new").enqueue("work")) == 1


async def test_twice_is_once(empty_database: str, connect: Connect) -> None:
    """initialize() on current tables changes nothing and keeps every job."""
    conn = await connect()
    await verbs.queries(conn).initialize()
    before = await everything(conn)
    (job,) = await verbs.enqueue(conn)
    await verbs.queries(conn).initialize()
    assert await everything(conn) == before
    assert await verbs.states(conn) == {job: "ready"}


async def test_a_failed_install_leaves_nothing(empty_database: str, connect: Connect) -> None:
    """An install that fails half way leaves nothing behind and can be repeated."""
    conn = await connect()
    await conn.execute("CREATE VIEW pgq_job_states AS SELECT 1 AS mine")
    before = await everything(conn)
    with pytest.raises(asyncpg.DuplicateTableError):
        await verbs.queries(conn).initialize()
    assert await everything(conn) == before
    await conn.execute("DROP VIEW pgq_job_states")
    await verbs.queries(conn).initialize()
    await verbs.queries(conn).check()


@pytest.mark.parametrize("name", ODD_SCHEMAS)
async def test_any_schema_name(empty_database: str, connect: Connect, name: str) -> None:
    """The tables may live in a schema of any name; every verb works there."""
    conn = await connect()
    queries = verbs.queries(conn, name)
    await queries.initialize()
    await queries.check()
    ids = await queries.enqueue(["work", "work"], unique_keys=["a", "b"])
    call = functools.partial(verbs.call, conn, schema=name)
    worker = (await call("register_worker", name="w", lease=15.0, info="{}"))[0]["worker_id"]
    (lane,) = await call("lanes", entrypoints=["work"], queues=None)
    values = verbs.claim_values([lane["lane_id"]], worker=worker, count=10) | {"look": True}
    rows = await call("claim", **values)
    assert [row["job_id"] for row in rows[:-1]] == ids
    assert {job.state.value for job in await queries.get_jobs()} == {"running"}
    await conn.execute("SELECT set_config('search_path', quote_ident($1), false)", name)
    await conn.execute("UPDATE pgq_workers SET beat_at = beat_at - interval '1 hour'")
    await conn.execute("RESET search_path")
    assert len(await call("rescue", workers=[worker])) == 2
    assert set((await queries.cancel(ids)).values()) == {"cancelled"}
    assert set((await queries.retry(ids)).values()) == {"retried"}
    assert (await queries.counts())["work"] == {"ready": 2}
    await queries.uninstall()
    assert (name, "schema") in await everything(conn)
    assert not [one for one in await everything(conn) if "pgq_" in one[0]]


async def test_two_schemas_side_by_side(empty_database: str, connect: Connect) -> None:
    """Two installations in one database do not touch each other, by channel or by lock."""
    conn = await connect()
    one, two = verbs.queries(conn, "one"), verbs.queries(conn, "two")
    await one.initialize()
    await two.initialize()
    await one.enqueue("work")
    assert await two.counts() == {}
    keys = "SELECT one.pgq_worker_key(1) <> two.pgq_worker_key(1)"
    channels = "SELECT one.pgq_channel(1) <> two.pgq_channel(1)"
    assert await conn.fetchval(keys)
    assert await conn.fetchval(channels)
    await one.uninstall()
    assert len(await two.enqueue("work")) == 1


async def test_the_callers_search_path_does_not_matter(conn: Any) -> None:
    """Every verb works whatever search_path the connection has, even an empty one."""
    await conn.execute("SET search_path = ''")
    queries = verbs.queries(conn)
    (job,) = await queries.enqueue("work", unique_keys="key")
    await conn.execute("INSERT INTO public.pgq_jobs (entrypoint) VALUES ('work')")
    (lane,) = await verbs.call(conn, "lanes", entrypoints=["work"])
    values = verbs.claim_values([lane["lane_id"]], worker=1, count=9)
    rows = await verbs.call(conn, "claim", **values)
    assert len(rows) == 3
    assert await queries.cancel([job]) == {job: "requested"}


async def test_a_hostile_search_path_does_not_matter(conn: Any) -> None:
    """A temporary table that poses as ours does not catch what the triggers write."""
    await conn.execute("CREATE TEMP TABLE pgq_ready (LIKE pgq_ready)")
    await conn.execute("INSERT INTO public.pgq_jobs (entrypoint) VALUES ('work')")
    assert await conn.fetchval("SELECT count(*) FROM public.pgq_ready") == 1
    assert await conn.fetchval("SELECT count(*) FROM pg_temp.pgq_ready") == 0


async def test_the_users_own_tables_stay(empty_database: str, connect: Connect) -> None:
    """Install and uninstall leave a database that has tables and functions of its own as it was,
    even those that begin with pgq_."""
    conn = await connect()
    await conn.execute(USERS_OWN)
    before = await everything(conn)
    await verbs.queries(conn).initialize()
    installed = await everything(conn)
    assert set(before) <= set(installed)
    assert all("pgq_" in name for name, _ in set(installed) - set(before))
    await verbs.worked(conn)
    await verbs.queries(conn).uninstall()
    assert await everything(conn) == before
    assert await conn.fetchval("SELECT name FROM jobs JOIN job_queue USING (id)") == "mine"
    assert await conn.fetchval("SELECT pgq_my_helper()") == 7


async def test_uninstall_of_nothing(empty_database: str, connect: Connect) -> None:
    """uninstall() where nothing is installed does nothing, also without the schema."""
    conn = await connect()
    before = await everything(conn)
    await verbs.queries(conn).uninstall()
    await verbs.queries(conn, "nowhere").uninstall()
    assert await everything(conn) == before


async def test_install_again_after_uninstall(conn: Any) -> None:
    """After uninstall() the tables can be installed again, and everything is new."""
    await verbs.worked(conn, unique_keys="key")
    await verbs.queries(conn).uninstall()
    await verbs.queries(conn).initialize()
    assert await verbs.states(conn) == {}
    await verbs.worked(conn, unique_keys="key")


async def test_the_session_is_as_before(empty_database: str, connect: Connect) -> None:
    """Installing inside a transaction of the caller's does not change its settings."""
    conn = await connect()
    await conn.execute("CREATE SCHEMA mine; SET search_path = mine, public")
    settings = "SELECT current_setting('search_path'), current_setting('lock_timeout')"
    before = await conn.fetchrow(settings)
    async with conn.transaction():
        await verbs.queries(conn).initialize()
        assert await conn.fetchrow(settings) == before
    async with conn.transaction():
        await verbs.queries(conn).uninstall()
        assert await conn.fetchrow(settings) == before


async def test_a_pool_installs_too(empty_database: str) -> None:
    """initialize() works on a pool."""
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=2) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.initialize()
        await queries.check()


# -- an ordinary role -------------------------------------------------------------------------


@pytest.fixture
async def ordinary(empty_database: str, connect: Connect) -> AsyncIterator[Any]:
    """A connection of a role without any privilege but a schema of its own."""
    boss = await connect()
    name = f"pgq_ordinary_{boss.get_server_pid()}"
    await boss.execute(f"CREATE ROLE {name} NOSUPERUSER NOCREATEDB NOCREATEROLE")
    await boss.execute(f"CREATE SCHEMA own AUTHORIZATION {name}")
    conn = await connect()
    await conn.execute(f"SET SESSION AUTHORIZATION {name}")
    yield conn
    await boss.execute(f"DROP OWNED BY {name} CASCADE")
    await boss.execute(f"DROP ROLE {name}")


async def test_an_ordinary_role_installs(ordinary: Any) -> None:
    """A role that owns a schema, and nothing else, installs, uses and uninstalls pgq."""
    queries = verbs.queries(ordinary, "own")
    await queries.initialize()
    (job,) = await queries.enqueue("work", unique_keys="key")
    call = functools.partial(verbs.call, ordinary, schema="own")
    (lane,) = await call("lanes", entrypoints=["work"])
    values = verbs.claim_values([lane["lane_id"]], worker=1, count=1)
    rows = await call("claim", **values | {"look": True, "idle_ms": 3000})
    assert rows[0]["job_id"] == job
    await call("tidy")
    await queries.uninstall()
    with pytest.raises(SchemaMissing):
        await queries.check()


async def test_a_role_without_a_schema_is_told(ordinary: Any) -> None:
    """A role that may not create the schema gets PostgreSQL's own refusal, and nothing is left."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await verbs.queries(ordinary, "elsewhere").initialize()


# -- versions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["public", "no_such_schema"])
async def test_missing(empty_database: str, connect: Connect, name: str) -> None:
    """Without the tables check() raises SchemaMissing, which says how to install them."""
    queries = verbs.queries(await connect(), name)
    with pytest.raises(SchemaMissing, match="install"):
        await queries.check()


USES: dict[str, Callable[[Queries], Awaitable[Any]]] = {
    "insert": lambda queries: queries.enqueue("work"),
    "enqueue": lambda queries: queries.enqueue(["work", "work"]),
    "cancel": lambda queries: queries.cancel([1]),
    "delete": lambda queries: queries.delete([1]),
    "redrive": lambda queries: queries.redrive(rate=1),
    "bulk": lambda queries: queries.bulk("retry"),
    "wait": lambda queries: queries.wait(1),
    "workers": lambda queries: queries.workers(),
    "health": lambda queries: queries.health(),
    "schedules": lambda queries: queries.get_schedules(),
    "retry": lambda queries: queries.retry([1]),
    "get_job": lambda queries: queries.get_job(1),
    "counts": lambda queries: queries.counts(),
    "prune": lambda queries: queries.prune(),
    "pause": lambda queries: queries.pause("default"),
}


@pytest.mark.parametrize("use", USES)
async def test_every_verb_says_missing(empty_database: str, connect: Connect, use: str) -> None:
    """Without the tables every verb raises SchemaMissing."""
    with pytest.raises(SchemaMissing):
        await USES[use](verbs.queries(await connect()))


@pytest.mark.parametrize("use", USES)
async def test_every_verb_misses_the_schema(
    empty_database: str, connect: Connect, use: str
) -> None:
    """Without the schema itself every verb raises SchemaMissing too."""
    with pytest.raises(SchemaMissing, match="`pgq-core install --schema no_such_schema`"):
        await USES[use](verbs.queries(await connect(), "no_such_schema"))


async def test_outdated(conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older tables raise SchemaOutdated, which says how to upgrade them."""
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    with pytest.raises(SchemaOutdated, match="upgrade"):
        await verbs.queries(conn).check()


async def test_newer(conn: Any) -> None:
    """Newer tables raise SchemaNewer, in check() and in initialize(), which leaves them alone."""
    await conn.execute("UPDATE pgq_meta SET value = $1 WHERE key = 'version'", str(VERSION + 1))
    queries = verbs.queries(conn)
    with pytest.raises(SchemaNewer, match=str(VERSION + 1)):
        await queries.check()
    with pytest.raises(SchemaNewer):
        await queries.initialize()
    assert len(await queries.enqueue("work")) == 1


# -- replication ------------------------------------------------------------------------------


async def test_every_table_has_a_primary_key(conn: Any) -> None:
    """Each of our tables has a primary key: logical replication refuses deletes without one."""
    rows = await conn.fetch(
        """
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            AND NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
            )
        """
    )
    assert [row["relname"] for row in rows] == []


async def test_a_publication_of_all_tables(conn: Any) -> None:
    """With a publication FOR ALL TABLES, every verb that deletes still works."""
    await conn.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    job = await verbs.worked(conn, "failed", unique_keys="key")
    await verbs.retry(conn, job)
    (taken,) = (await verbs.claim(conn)).jobs
    await verbs.finish(conn, taken, "retry", delay=0.0)
    await verbs.cancel(conn, job)
    await verbs.call(conn, "tidy")
    await verbs.call(conn, "prune", from_id=0, limit=10, **verbs.ANY_AGE)
    assert await verbs.count(conn, "pgq_jobs") == 0
