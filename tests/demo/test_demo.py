"""The demo: what it promises, and that it finds out when the promise is broken."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgq_core.demo.files import Digest, digest, find
from pgq_core.demo.measure import differing
from pgq_core.demo.report import Recovery, Report
from tests.cli.program import Database, Program, call
from tests.support import until

SLOW_ENOUGH = ("--workers", "2", "--concurrency", "1")  # so that the kill comes in the middle


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a few files, an empty one among them."""
    root = tmp_path / "files"
    (root / "inner").mkdir(parents=True)
    for number in range(20):
        (root / f"{number}.txt").write_text("line\n" * number)
    (root / "inner" / "b\udce9.bin").write_bytes(os.urandom(5000))
    return root


@pytest.fixture
def db(empty_database: str) -> Iterator[Database]:
    """A database in which nothing is installed."""
    found = Database(empty_database)
    yield found
    found.close()


def schemas(db: Database) -> list[str]:
    return [name for (name,) in db.rows("SELECT nspname FROM pg_namespace WHERE nspname ~ 'demo'")]


def test_a_killed_worker_loses_nothing(db: Database) -> None:
    """One worker is killed in the middle; every file is hashed all the same, none is lost."""
    answer = call("demo", "--dsn", db.dsn, "--json", *SLOW_ENOUGH)
    assert answer.code == 0, answer
    facts = answer.json
    assert facts["ok"]
    assert facts["files"] == facts["succeeded"] > 100
    assert (facts["lost"], facts["completed_twice"], facts["differing"]) == (0, 0, [])
    assert facts["run_twice"] == facts["interrupted"] == facts["recovery"]["jobs"] > 0
    assert 0 < facts["recovery"]["given_back"] <= facts["recovery"]["started_again"] < 10
    assert 0 < facts["pickup"]["p50"] <= facts["pickup"]["p99"]
    assert schemas(db) == []


def test_any_directory(db: Database, files: Path) -> None:
    """The demo takes any directory, counts what is in it and prints a table; with --keep the jobs
    stay in a schema of their own, to look around."""
    answer = call("demo", str(files), "--no-kill", "--keep", dsn=db.dsn)
    assert answer.code == 0, answer
    rows = dict(line.split("  ", 1) for line in answer.out.splitlines() if "  " in line)
    assert rows["files"].strip() == "21"
    assert rows["lost"].strip() == "0"
    assert rows["digests"].strip() == "all as expected"
    assert "no worker was killed" in answer.out
    [schema] = schemas(db)
    stats = call("stats", "--schema", schema, "--json", dsn=db.dsn).json
    assert stats["jobs"]["demo.hash_file"] == {"succeeded": 21}


def test_the_temporary_server(files: Path) -> None:
    """Without a database the demo starts a server of its own, and stops it."""
    answer = call("demo", str(files), "--no-kill", "--workers", "1", "--json")
    assert (answer.code, answer.json["succeeded"]) == (0, 21), answer


WRONG = """
import sys
if "worker" in sys.orig_argv:
    from pgq_core.demo import files
    right = files.digest
    files.digest = lambda path: right(path)._replace(lines=7) if "/3.txt" in path else right(path)
"""


def test_a_wrong_digest_is_found_out(db: Database, files: Path, tmp_path: Path) -> None:
    """When a worker computes something else than the plain loop, the exit code is 1."""
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    root = str(Path(__file__).parents[2])
    answer = call("demo", str(files), "--no-kill", "--json", dsn=db.dsn,
                  PYTHONPATH=f"{tmp_path}:{root}")  # fmt: skip
    assert answer.code == 1
    assert answer.json["differing"] == [str(files / "3.txt")]


def test_interrupted(db: Database, tmp_path: Path) -> None:
    """SIGTERM ends the demo in order: no worker, no schema stays behind."""
    program = Program("demo", *SLOW_ENOUGH, dsn=db.dsn, cwd=tmp_path)
    program.says("up and idle")
    program.send(signal.SIGTERM)
    assert program.ended() == 130
    assert schemas(db) == []
    assert "Traceback" not in program.output
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    until(lambda: db.value(statement) == 1, what="the end of every connection")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("/absent",), "does not exist"),
        (("empty",), "no readable file"),
        (("files", "--keep"), "--keep needs --dsn"),
        (("files", "--dsn", "postgresql://u:sEcret@localhost:1/x"), "cannot connect"),
        (("files", "--workers", "0"), "--workers"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str, files: Path, tmp_path: Path) -> None:
    """What cannot work gives exit code 2 and says why, without a traceback or a password."""
    (tmp_path / "empty").mkdir()
    answer = call("demo", *arguments, cwd=tmp_path)
    assert answer.code == 2
    assert words in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    assert "sEcret" not in answer.err


# -- the parts ------------------------------------------------------------------------------


def test_only_regular_files(files: Path) -> None:
    """Links are not followed, pipes are not read."""
    (files / "link").symlink_to(files / "3.txt")
    (files / "loop").symlink_to(files)
    os.mkfifo(files / "pipe")
    found = find(files)
    assert (len(found.paths), found.skipped) == (21, 0)


def test_files_that_cannot_be_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is left out and counted."""
    monkeypatch.setattr(os, "access", lambda path, mode: "3.txt" not in path)
    found = find(files)
    assert (len(found.paths), found.skipped) == (19, 2)


def test_the_standard_library() -> None:
    """Without a directory it is Python's standard library, without other people's packages."""
    found = find()
    assert any(path.endswith("/json/decoder.py") for path in found.paths)
    assert not any("site-packages" in path or "__pycache__" in path for path in found.paths)


def test_digest(files: Path) -> None:
    """A file's digest is its SHA-256, its size and its number of lines."""
    assert digest(str(files / "0.txt")) == Digest(
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0, 0
    )
    assert digest(str(files / "3.txt"))[1:] == (15, 3)


def test_what_differs() -> None:
    """A result that is wrong, or missing, is told by its file."""
    right, other = Digest("a", 1, 2), Digest("b", 1, 2)
    expected: dict[str, Digest | None] = {"/same": right, "/wrong": right, "/none": right}
    results: dict[str, Any] = {"/same": right._asdict(), "/wrong": other._asdict()}
    assert differing(expected, results) == ["/wrong", "/none"]


GOOD = Report(
    files=3, skipped=0, bytes=30, lines=3, succeeded=3, failed=0, unfinished=0, retried=0,
    interrupted=1, run_twice=1, completed_twice=0, differing=[], seconds=0.5,
    plain_loop_seconds=0.1, queueing=(0.1, 0.2), pickup=(0.001, 0.002),
    recovery=Recovery(1, 0.2, 0.3),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"succeeded": 2},
        {"succeeded": 2, "failed": 1},
        {"succeeded": 2, "unfinished": 1},
        {"completed_twice": 1},
        {"differing": ["/a"]},
    ],
)
def test_what_is_not_good(change: dict[str, Any]) -> None:
    """A job that is lost, failed, unfinished or completed twice, or a digest that differs, is no
    success; a job that was run twice because of the kill is."""
    assert GOOD.good
    assert not dataclasses.replace(GOOD, **change).good


def test_lost() -> None:
    """Lost is what was enqueued and is nowhere."""
    assert (GOOD.lost, dataclasses.replace(GOOD, succeeded=2).lost) == (0, 1)
