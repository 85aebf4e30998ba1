"""Several worker processes, reloading, and the health file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgq_django.models import Job, Worker
from pgq_django.worker.supervisor import Supervisor
from tests.django.processes import command, worker
from tests.django.shop import tasks
from tests.django.shop.models import Note
from tests.django.support import state
from tests.django.test_shop import until


@contextmanager
def run_after(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call something if the block takes longer."""
    timer = threading.Timer(seconds, call)
    timer.start()
    yield
    timer.cancel()


def workers() -> set[int]:
    """The process ids of registered workers."""
    return {int(name.rpartition(":")[2]) for name in Worker.objects.values_list("name", flat=True)}


def test_processes(db: Any) -> None:
    """`--processes 2` runs two; one that is killed is replaced; a signal to the parent ends all."""
    with command("--processes", "2") as parent:
        until(lambda: len(workers()) == 2)
        first = min(workers())
        os.kill(first, signal.SIGKILL)
        until(lambda: len(workers()) == 2 and first not in workers())
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == 0
    assert not workers()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signal handlers are afterwards what they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_while_processes_start(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM stops all worker processes also when it comes while they are being started."""
    started: list[Any] = []

    def popen(_: Any, **options: Any) -> Any:
        started.append(real([sys.executable, "-c", "import time; time.sleep(30)"], **options))
        signal.raise_signal(signal.SIGTERM)
        return started[-1]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(sys, "argv", [__file__])
    with run_after(5.0, lambda: [child.kill() for child in started]):
        assert Supervisor(3, None).run() == 0
    assert [child.returncode for child in started] == [-signal.SIGTERM]


def test_children_do_not_outlive_their_parent(db: Any) -> None:
    """When the parent is killed its workers finish what they run and end."""
    with command("--processes", "2") as parent:
        until(lambda: len(workers()) == 2)
        parent.kill()
        until(lambda: not workers())


def test_reload_drains_first(db: Any, tmp_path: Path) -> None:
    """With `--reload` a change of code lets the running task finish, then starts a new worker."""
    (tmp_path / "code.py").write_text("A = 1\n")
    root = str(Path(__file__).parents[2])
    with command("--reload", cwd=tmp_path, PYTHONPATH=root) as parent:
        until(lambda: len(workers()) == 1)
        first = workers()
        result = tasks.wait_for_note.enqueue("go")
        until(lambda: state(result.id) == "running")
        (tmp_path / "code.py").write_text("A = 2\n")
        until(lambda: Job.objects.get().state == "running")
        Note.objects.create(text="go")
        until(lambda: workers() and workers() != first)
        assert state(result.id) == "succeeded"
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == 0
    result.refresh()
    assert result.attempts == 1


def test_reload_renews_every_process(db: Any, tmp_path: Path) -> None:
    """With `--reload --processes 2` every worker is renewed, and what ends later is no renewal."""
    (tmp_path / "code.py").write_text("A = 1\n")
    root = str(Path(__file__).parents[2])
    with command("--reload", "--processes", "2", cwd=tmp_path, PYTHONPATH=root) as parent:
        until(lambda: len(workers()) == 2)
        first = workers()
        (tmp_path / "code.py").write_text("A = 2\n")
        until(lambda: len(workers()) == 2 and not workers() & first)
        second = workers()
        for pid in second:
            os.kill(pid, signal.SIGTERM)  # each has nothing left to do: it is not replaced
        assert parent.wait(30) == 0
    assert not workers()


def test_health_file(db: Any, tmp_path: Path) -> None:
    """The health file is touched as long as the worker's beats arrive."""
    path = tmp_path / "run" / "pgq.health"
    with worker("--health-file", str(path)):
        until(path.exists)
        touched = path.stat().st_mtime_ns
        until(lambda: path.stat().st_mtime_ns > touched)
    assert time.time() - path.stat().st_mtime < 30


def test_a_health_file_that_cannot_be_touched(db: Any, tmp_path: Path) -> None:
    """A health file that cannot be touched for a while is touched again once it can be."""
    (tmp_path / "run").touch()  # no directory
    path = tmp_path / "run" / "pgq.health"
    with worker("--health-file", str(path)):
        made = tasks.add.enqueue(1)
        until(lambda: state(made.id) == "succeeded")
        time.sleep(1.2)  # it is tried at least once a second
        (tmp_path / "run").unlink()
        until(path.exists)
