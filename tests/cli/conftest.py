"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgq_core.cli import commands, run
from tests.cli.program import CLEARED, Answer, Database, Program
from tests.support import Databases

JOBS = """
import asyncio, os, time
from pgq_core import PgQueuer

pgq = PgQueuer()

@pgq.entrypoint("quick")
async def quick(job):
    return {"length": len(job.payload)}

@pgq.entrypoint("broken", max_attempts=1)
async def broken(job):
    raise ValueError("no \\x1b[31m luck")

@pgq.entrypoint("wait")
async def wait(job):
    while not os.path.exists(job.payload.decode()):
        await asyncio.sleep(0.01)

@pgq.entrypoint("deaf")
async def deaf(job):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@pgq.entrypoint("thread")
def thread(job):
    time.sleep(60)

@pgq.entrypoint("block")
async def block(job):
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database but the one a test names."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pgq(
    database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Run a command here, on the test's database."""
    monkeypatch.setenv("PGQ_DSN", database)
    return in_process(capfd)


@pytest.fixture(scope="session")
def shared_database(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for the tests that change nothing in it."""
    dsn = databases.create(template_database)
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def pgq_in_vain(
    shared_database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Run a command here that changes nothing."""
    monkeypatch.setenv("PGQ_DSN", shared_database)
    return in_process(capfd)


@pytest.fixture
def pgq_anywhere(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command here, on the database it names."""
    return in_process(capfd)


def in_process(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def ask(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run(commands, arguments)
        return Answer(code, *capfd.readouterr())

    return ask


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    """A look into the test's database."""
    found = Database(database)
    yield found
    found.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with `jobs.py`, which is the current one."""
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(database: str, project: Path) -> Iterator[Callable[..., Program]]:
    """Start a worker program in the project's directory."""
    programs: list[Program] = []

    def start_one(*arguments: str, **env: str) -> Program:
        programs.append(Program("worker", *arguments, dsn=database, cwd=project, **env))
        return programs[-1]

    yield start_one
    for program in programs:
        program.close()
