"""docs/operations.md on backups: a dump of the whole database restores every job, once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgq_core import Job, JobState, PgQueuer
from pgq_core.embedded import find_binaries
from tests.faq.running import drain
from tests.support import Databases


@pytest.fixture
def tools() -> Path:
    """pg_dump and psql, of the server that is tested."""
    directory = find_binaries()
    if not all((directory / name).exists() for name in ("pg_dump", "psql")):
        pytest.skip("pg_dump and psql are not installed beside the server")
    return directory


@pytest.fixture
def copy(databases: Databases) -> Iterator[str]:
    """An empty database to restore into."""
    dsn = databases.create()
    yield dsn
    databases.drop(dsn)


def run(command: list[str | Path], text: str | None = None) -> str:
    """Run a program of PostgreSQL's and return what it prints."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(tools: Path, dsn: str, script: str) -> None:
    """Run a dump, stopping at the first error."""
    run([tools / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn], script)


async def fill(pgq: PgQueuer) -> None:
    """Jobs in several states: done, failed, ready, deferred, blocked, unique."""

    @pgq.entrypoint("maybe", max_attempts=1)
    async def maybe(job: Job) -> str:
        assert job.payload != b"bad"
        return job.payload.decode()

    await pgq.queries.enqueue(["maybe"] * 3, [b"one", b"two", b"bad"])
    await drain(pgq)
    ready = await pgq.enqueue("maybe", b"ready", unique_key="only one")
    await pgq.enqueue("maybe", b"tomorrow", delay=86400)
    await pgq.enqueue("maybe", b"blocked", after=[ready])


async def test_a_whole_dump_restores_every_job(
    database: str, pgq: PgQueuer, tools: Path, copy: str
) -> None:
    """After pg_dump and psql each job is in the state it was in, and the queue goes on."""
    await fill(pgq)
    before = states(await pgq.queries.get_jobs())
    restore(tools, copy, run([tools / "pg_dump", "-d", database]))
    async with PgQueuer.connect(copy) as restored:
        restored.registry = pgq.registry
        jobs = await restored.queries.get_jobs()
        assert states(jobs) == before
        assert await restored.enqueue("maybe", b"again", unique_key="only one") in before
        assert await restored.enqueue("maybe", b"new") > max(before)
        await drain(restored)
        waiting = await restored.queries.get_jobs(states=[JobState.READY, JobState.BLOCKED])
        assert waiting == []


async def test_data_alone_needs_disable_triggers(
    database: str, pgq: PgQueuer, tools: Path, template_database: str, databases: Databases
) -> None:
    """A dump of the data alone restores with --disable-triggers; without, it would enqueue anew."""
    await fill(pgq)
    before = states(await pgq.queries.get_jobs())
    target = databases.create(template_database)
    dump = [tools / "pg_dump", "--data-only", "-T", "pgq_meta", "-d", database]
    with pytest.raises(AssertionError, match="duplicate key"):  # the triggers' pointers were first
        restore(tools, target, "BEGIN;\n" + run(dump) + "COMMIT;\n")
    restore(tools, target, run([*dump, "--disable-triggers"]))
    async with PgQueuer.connect(target) as restored:
        assert states(await restored.queries.get_jobs()) == before
    databases.drop(target)


def states(jobs: list[Job]) -> dict[int, str]:
    """Job → its state."""
    return {job.id: job.state.value for job in jobs}
