"""worker --processes and --reload: the parent and its children."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import Database, Program, call
from tests.support import until

Start = Callable[..., Program]


def up(db: Database, count: int) -> dict[int, int]:
    """Wait for so many worker processes; process id → worker id."""
    found: dict[int, int] = until(
        lambda: len(db.workers()) == count and db.workers(), what=f"{count} workers"
    )
    return found


def gone(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_that_dies_is_replaced(start: Start, db: Database) -> None:
    """With --processes a worker process that is killed is replaced, and its job runs again."""
    start("jobs:pgq", "--processes", "2")
    before = up(db, 2)
    job = db.enqueue("wait", "/never")
    db.reaches(job, "running")
    victim = db.value("SELECT running_on FROM pgq_job_states WHERE id = %s", job)
    os.kill(next(pid for pid, worker in before.items() if worker == victim), signal.SIGKILL)
    until(lambda: victim not in db.workers().values() and len(db.workers()) == 2, what="another")
    db.reaches(job, "running")
    assert db.outcomes(job) == ["lost"]


def test_signals_reach_every_child(start: Start, db: Database) -> None:
    """A signal to the parent drains every child; a second one gives running jobs back at once."""
    parent = start("jobs:pgq", "--processes", "2", "--concurrency", "1")
    up(db, 2)
    jobs = [db.enqueue("wait", "/never") for _ in range(2)]
    for job in jobs:
        db.reaches(job, "running")
    parent.send()
    until(lambda: parent.output.count("letting running jobs finish") == 2)
    parent.send()
    assert parent.ended() == 0
    assert [(db.outcomes(job), db.spent(job)) for job in jobs] == [(["interrupted"], 0)] * 2
    assert db.workers() == {}


def test_a_terminal_sends_its_signal_once(database: str, project: Path, db: Database) -> None:
    """^C in a terminal counts as one signal in each child, so that jobs may still finish."""
    gate = project / "gate"
    program = Program("worker", "jobs:pgq", "--processes", "2", dsn=database, cwd=project,
                      group=True)  # fmt: skip
    up(db, 2)
    job = db.enqueue("wait", str(gate))
    db.reaches(job, "running")
    os.killpg(program.process.pid, signal.SIGINT)
    program.says("letting running jobs finish")
    gate.touch()
    assert program.ended() == 0
    assert db.outcomes(job) == ["succeeded"]


def test_children_do_not_outlive_their_parent(start: Start, db: Database) -> None:
    """When the parent is killed its children stop by themselves."""
    parent = start("jobs:pgq", "--processes", "2")
    pids = up(db, 2)
    parent.send(signal.SIGKILL)
    until(lambda: all(gone(pid) for pid in pids), what="the end of the children")
    assert db.workers() == {}


def test_until_empty_ends_them_all(start: Start, db: Database) -> None:
    """With --until-empty the parent ends when every child has, exit code 0."""
    jobs = [db.enqueue("quick") for _ in range(20)]
    assert start("jobs:pgq", "--processes", "2", "--until-empty").ended() == 0
    assert {db.state(job) for job in jobs} == {"succeeded"}


def test_what_cannot_work_is_tried_once(database: str, project: Path) -> None:
    """A target that cannot be loaded gives one line, not one per process, and exit code 2."""
    answer = call("worker", "jobs:absent", "--processes", "3", "--log-level", "error",
                  dsn=database, cwd=project)  # fmt: skip
    assert answer.code == 2
    assert "has no 'absent'" in answer.one_line()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_password_is_in_no_list_of_processes(start: Start, db: Database, database: str) -> None:
    """The DSN goes to the children by the environment, not by their arguments."""
    start(
        "jobs:pgq", "--processes", "1", "--reload", "--dsn", f"{database}&application_name=s3cret"
    )
    for pid in up(db, 1):
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def answering(text: str) -> str:
    return f"""
from pgq_core import PgQueuer
pgq = PgQueuer()

@pgq.entrypoint("ask")
async def ask(job):
    return {text!r}
"""


def result(db: Database) -> str:
    """What the code that runs now returns."""
    job = db.enqueue("ask")
    db.reaches(job, "succeeded")
    return str(db.value("SELECT result FROM pgq_attempts WHERE job_id = %s", job))


def test_reload(start: Start, db: Database, project: Path) -> None:
    """--reload starts anew when a .py file has changed, and waits while it is broken."""
    source = project / "app.py"
    source.write_text(answering("old"))
    parent = start("app:pgq", "--reload")
    assert result(db) == "old"
    source.write_text("def (")
    parent.says("waiting for a change")
    source.write_text(answering("new, and longer"))
    assert result(db) == "new, and longer"


def test_one_level_of_parents(start: Start, db: Database) -> None:
    """Options that come by the environment make one parent, not a tree of them."""
    parent = start("jobs:pgq", PGQ_WORKER_PROCESSES="2", PGQ_WORKER_RELOAD="1")
    up(db, 2)
    parent.send()
    assert parent.ended() == 0
    assert parent.output.count("worker process") == 2
