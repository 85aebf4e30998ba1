"""worker: signals, ends, targets, options; on real processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import Database, Program, call
from tests.support import until

Start = Callable[..., Program]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_finish(
    number: int, start: Start, db: Database, project: Path
) -> None:
    """After SIGTERM or SIGINT nothing more is claimed, running jobs finish, exit code 0."""
    gate = project / "gate"
    job = db.enqueue("wait", str(gate))
    worker = start("jobs:pgq")
    db.reaches(job, "running")
    worker.send(number)
    worker.says("letting running jobs finish")
    later = db.enqueue("quick")
    gate.touch()
    assert worker.ended() == 0
    assert (db.state(job), db.state(later)) == ("succeeded", "ready")
    assert db.workers() == {}


def test_what_does_not_finish_in_time_is_given_back(start: Start, db: Database) -> None:
    """A job that outlasts --shutdown-timeout is given back without spending an attempt."""
    job = db.enqueue("wait", "/never")
    worker = start("jobs:pgq", "--shutdown-timeout", "0.2")
    db.reaches(job, "running")
    worker.send()
    assert worker.ended() == 0
    assert (db.state(job), db.outcomes(job), db.spent(job)) == ("ready", ["interrupted"], 0)


def test_garbage_collection_leaves_the_program_alone(
    start: Start, db: Database, project: Path
) -> None:
    """A worker process does not walk through your whole program again and again."""
    (project / "frozen.py").write_text(
        "import gc\n"
        "from pgq_core import PgQueuer\n"
        "pgq = PgQueuer()\n"
        "@pgq.entrypoint('frozen')\n"
        "async def frozen(job):\n"
        "    return gc.get_freeze_count()\n"
    )
    job = db.enqueue("frozen")
    assert start("frozen:pgq", "--until-empty").ended() == 0
    frozen = db.value("SELECT result FROM pgq_attempts WHERE job_id = %s", job)
    assert frozen > 10_000


@pytest.mark.parametrize("entrypoint", ["wait", "deaf", "thread"])
def test_a_second_signal_stops_at_once(entrypoint: str, start: Start, db: Database) -> None:
    """A second signal gives running jobs back at once, even those that refuse to stop."""
    job = db.enqueue(entrypoint, "/never")
    worker = start("jobs:pgq", "--shutdown-timeout", "1h")
    db.reaches(job, "running")
    worker.send()
    worker.says("letting running jobs finish")
    worker.send()
    assert worker.ended() == 0
    assert (db.state(job), db.outcomes(job), db.spent(job)) == ("ready", ["interrupted"], 0)
    assert db.workers() == {}


def test_a_third_signal_ends_even_a_blocked_loop(start: Start, db: Database) -> None:
    """A handler that blocks the loop cannot keep the process: a third signal ends it."""
    job = db.enqueue("block")
    worker = start("jobs:pgq")
    db.reaches(job, "running")
    until(lambda: worker.process.poll() is not None or worker.send(), what="the end")
    assert worker.ended() == 128 + signal.SIGTERM


def test_until_empty(start: Start, db: Database) -> None:
    """--until-empty ends when nothing is left to do."""
    jobs = [db.enqueue("quick") for _ in range(3)]
    assert start("jobs:pgq", "--until-empty").ended() == 0
    assert {db.state(job) for job in jobs} == {"succeeded"}


def test_max_jobs(start: Start, db: Database) -> None:
    """--max-jobs ends after so many."""
    jobs = [db.enqueue("quick") for _ in range(3)]
    assert start("jobs:pgq", "--max-jobs", "2").ended() == 0
    assert [db.state(job) for job in jobs] == ["succeeded", "succeeded", "ready"]


FACTORIES = """
import asyncpg, contextlib, os
from jobs import pgq as registry
from pgq_core import PgQueuer
from pgq_core.db import AsyncpgDriver

class settings:
    pgq = registry

def plain():
    return registry

async def coroutine():
    return registry

async def bound():
    registry.bind(AsyncpgDriver(await asyncpg.connect(os.environ["MY_OWN"])))
    return registry

@contextlib.asynccontextmanager
async def manager():
    async with registry.connected(os.environ["MY_OWN"]):
        yield registry
    print("closed")
"""


@pytest.mark.parametrize("name", ["settings.pgq", "plain", "coroutine"])
def test_targets(name: str, start: Start, db: Database, project: Path) -> None:
    """OBJECT may be a PgQueuer, a path to one, or a function that returns one, async or not."""
    (project / "made.py").write_text(FACTORIES)
    job = db.enqueue("quick")
    assert start(f"made:{name}", "--until-empty").ended() == 0
    assert db.state(job) == "succeeded"


@pytest.mark.parametrize("name", ["bound", "manager"])
def test_a_program_that_brings_its_own_database(
    name: str, db: Database, database: str, project: Path
) -> None:
    """A PgQueuer that has a driver already keeps it; a context manager is closed at the end."""
    (project / "made.py").write_text(FACTORIES)
    job = db.enqueue("quick")
    nowhere = "postgresql://localhost:1/nowhere"
    done = call("worker", f"made:{name}", "--until-empty", dsn=nowhere, cwd=project,
                MY_OWN=database)  # fmt: skip
    assert (done.code, db.state(job)) == (0, "succeeded"), done.err
    assert done.out == ("closed\n" if name == "manager" else "")


def test_the_schema_of_a_program_that_brings_its_own_database(
    db: Database, database: str, project: Path
) -> None:
    """--schema counts even for a PgQueuer that has a driver already."""
    (project / "made.py").write_text(FACTORIES)
    # The program never closes its own connection; under PYTHONDEVMODE Python would say so.
    done = call("worker", "made:bound", "--schema", "other", cwd=project, MY_OWN=database,
                PYTHONDEVMODE="")  # fmt: skip
    assert done.code == 2
    assert "schema 'other'" in done.one_line()


def test_options_by_environment(start: Start, db: Database) -> None:
    """Every option can be set by the environment: PGQ_WORKER_CONCURRENCY and so on."""
    start("jobs:pgq", PGQ_WORKER_CONCURRENCY="7", PGQ_WORKER_QUEUES="a,b").says("started")
    info = db.value("SELECT info FROM pgq_workers")
    assert (info["concurrency"], info["queues"]) == (7, ["a", "b"])


@pytest.mark.parametrize(
    "options", [("--queues", "a", "--queues", "b"), ("--queues", "a, b"), ("--queues", "a=1,b=2")]
)
def test_queues(options: tuple[str, ...], start: Start, db: Database) -> None:
    """--queues is repeated or holds commas; NAME=SLOTS gives each queue a share."""
    served = db.value("INSERT INTO pgq_jobs (entrypoint, queue) VALUES ('quick', 'b') RETURNING id")
    other = db.enqueue("quick")
    assert start("jobs:pgq", "--until-empty", *options).ended() == 0
    assert (db.state(served), db.state(other)) == ("succeeded", "ready")


def test_polling(start: Start, db: Database) -> None:
    """--no-listen works without notifications."""
    worker = start("jobs:pgq", "--no-listen")
    worker.says("started")
    assert db.value("SELECT listener FROM pgq_workers") == "off"
    db.reaches(db.enqueue("quick"), "succeeded")


def test_logging(start: Start, db: Database) -> None:
    """--log-level warning is quiet while all is well."""
    db.enqueue("quick")
    worker = start("jobs:pgq", "--until-empty", "--log-level", "warning")
    assert (worker.ended(), worker.output) == (0, "")
