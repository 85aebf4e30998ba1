"""Dump and restore: a queue comes back with its jobs, and nothing twice."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgq_core.embedded import find_binaries
from pgq_core.errors import EmbeddedServerError
from tests.sql import verbs
from tests.support import Databases

Connect = Callable[..., Awaitable[Any]]
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


def tools(dsn: str) -> Path | None:
    """A directory with pg_dump and pg_restore that know this server."""
    with psycopg.connect(dsn) as connection:
        major = connection.info.server_version // 10000
    places = [path for pattern in PLACES for path in Path("/").glob(pattern[1:])]
    with suppress(EmbeddedServerError):
        places.insert(0, find_binaries())
    for place in places:
        if (place / "pg_dump").exists() and (place / "pg_restore").exists():
            version = re.findall(r"\d+", run(place / "pg_dump", "--version"))
            if int(version[0]) >= major:
                return place
    return None


def run(program: Path, *arguments: str) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bin_directory(server_dsn: str) -> Path:
    """Where pg_dump and pg_restore are."""
    found = tools(server_dsn)
    if found is None:
        pytest.skip("no pg_dump for this server here")
    return found


async def fill(on: Any) -> dict[int, str]:
    """A queue with jobs in many states; returns them."""
    await verbs.worked(on, "failed", unique_keys="old")
    await verbs.worked(on)
    await verbs.enqueue(on, count=3, unique_keys=["a", "b", "c"])
    await verbs.claim(on, 1)
    await verbs.enqueue(on, "later", run_at=timedelta(hours=1))
    await verbs.enqueue(on, "other", count=20)
    return await verbs.states(on)


async def check(on: Any, before: dict[int, str]) -> None:
    """The same jobs, claimable; the running one comes back; new ones collide with nothing."""
    assert await verbs.states(on) == before
    waiting = [job for job, state in before.items() if state == "ready"]
    (running,) = [job for job, state in before.items() if state == "running"]
    assert await verbs.enqueue(on, unique_keys="b") == [waiting[0]]
    (new,) = await verbs.enqueue(on)
    assert new > max(before)
    assert sorted((await verbs.claim(on, 100, worker=9)).ids) == sorted([*waiting, new])
    assert await verbs.rescue(on, 1) == {running: "lost"}
    (again,) = (await verbs.claim(on, 100, worker=9)).jobs
    assert (again.job_id, again.attempt) == (running, 2)
    assert await verbs.finish(on, again) == {}
    await verbs.queries(on).check()


async def test_a_whole_database(
    conn: Any,
    connect: Connect,
    database: str,
    databases: Databases,
    bin_directory: Path,
    tmp_path: Path,
) -> None:
    """After dump and restore of a whole database every job is where it was and can be claimed."""
    before = await fill(conn)
    dump = str(tmp_path / "dump")
    run(bin_directory / "pg_dump", "-Fc", "-f", dump, database)
    fresh = databases.create()
    try:
        run(bin_directory / "pg_restore", "-d", fresh, dump)
        await check(await connect(fresh), before)
    finally:
        databases.drop(fresh)


async def test_data_only(
    conn: Any,
    connect: Connect,
    database: str,
    databases: Databases,
    template_database: str,
    bin_directory: Path,
    tmp_path: Path,
) -> None:
    """A data-only restore into a fresh installation, with --disable-triggers, doubles no job."""
    before = await fill(conn)
    dump = str(tmp_path / "dump")
    arguments = ["-Fc", "--data-only", "--exclude-table-data", "pgq_meta", "-f", dump]
    run(bin_directory / "pg_dump", *arguments, database)
    fresh = databases.create(template_database)
    try:
        run(bin_directory / "pg_restore", "--data-only", "--disable-triggers", "-d", fresh, dump)
        await check(await connect(fresh), before)
    finally:
        databases.drop(fresh)
