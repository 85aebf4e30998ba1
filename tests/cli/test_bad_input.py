"""What people get wrong: one line on stderr that says what and how to do better."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import Answer

Ask = Callable[..., Answer]

BAD = [
    ("nonsense",),
    ("jobs", "--state", "gone"),
    ("jobs", "--limit", "0"),
    ("jobs", "--queue", ""),
    ("show",),
    ("show", "seven"),
    ("show", "99999999999999999999"),
    ("enqueue",),
    ("enqueue", ""),
    ("enqueue", "a\udcff"),
    ("enqueue", "x" * 1001),
    ("enqueue", "a", "{", "--json-payload"),
    ("enqueue", "a", "--json-payload"),
    ("enqueue", "a", "b", "c"),
    ("enqueue", "a", "x" * 1048577),
    ("enqueue", "a", "--priority", "40000"),
    ("enqueue", "a", "--max-attempts", "0"),
    ("enqueue", "a", "--delay", "-1"),
    ("enqueue", "a", "--delay", "soon"),
    ("enqueue", "a", "--delay", "9999999d"),
    ("enqueue", "a", "--timeout", "0"),
    ("enqueue", "a", "--run-at", "tomorrow"),
    ("enqueue", "a", "--run-at", "2030-01-01T00:00"),
    ("enqueue", "a", "--run-at", "2030-01-01T00:00Z", "--delay", "5"),
    ("retry",),
    ("retry", "1", "--failed"),
    ("retry", "1", "--queue", "default"),
    ("cancel",),
    ("pause",),
    ("resume",),
    ("prune", "--failed-days", "-1"),
    ("prune", "--failed-days", "nan"),
    ("redrive", "--rate", "1e6", "--limit", "9999999999"),
    ("health", "--max-age", "old"),
    ("worker",),
    ("worker", "jobs:pgq", "--concurrency", "0"),
    ("worker", "jobs:pgq", "--lease", "0.5"),
    ("worker", "jobs:pgq", "--queues", "a=2,b"),
    ("worker", "jobs:pgq", "--log-level", "loud"),
]

TARGETS = {
    "": "MODULE:OBJECT",
    "fine": "MODULE:OBJECT",
    "fine:": "MODULE:OBJECT",
    ":pgq": "MODULE:OBJECT",
    "absent:pgq": "no module 'absent'",
    "fine.absent:pgq": "no module 'fine.absent'",
    "fine:absent": "has no 'absent'; it has pgq",
    "fine:number": "is a int",
    "fine:PgQueuer": "is a class",
    "fine:empty": "has no entrypoints",
    "fine:wrong": "returned a int",
    "fine:late": "fine.py, line 11)",
    "fine:needy": "TypeError",
    "syntax:pgq": "SyntaxError",
    "missing:pgq": "No module named 'not_installed'",
    "leaves:pgq": "SystemExit",
    "raises:pgq": "raises.py, line 1)",
}

FINE = """
from pgq_core import PgQueuer
pgq, empty, number = PgQueuer(), PgQueuer(), 3

@pgq.entrypoint("a")
async def a(job): ...

def wrong():
    return 3

async def late():
    raise RuntimeError("the vault is closed")

def needy(argument): ...
""".lstrip()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of all sorts in the current directory."""
    sources = {
        "fine": FINE, "syntax": "def (", "missing": "import not_installed",
        "leaves": "raise SystemExit(3)", "raises": "1 / 0",
    }  # fmt: skip
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("arguments", BAD, ids=lambda arguments: " ".join(arguments)[:40])
def test_bad_arguments(arguments: tuple[str, ...], pgq_in_vain: Ask, project: Path) -> None:
    """Bad arguments give one line and exit code 2, never a traceback."""
    answer = pgq_in_vain(*arguments)
    assert answer.code == 2
    assert answer.one_line().startswith("pgq-core: ")


def test_wrong_shares_are_named(pgq_in_vain: Ask, project: Path) -> None:
    """Queues with a share for some of them only are named in the complaint."""
    answer = pgq_in_vain("worker", "jobs:pgq", "--queues", "a=2,b")
    assert "--queues a=2,b: " in answer.one_line()


@pytest.mark.parametrize(("target", "words"), TARGETS.items())
def test_bad_targets(target: str, words: str, pgq_in_vain: Ask, modules: None) -> None:
    """A MODULE:OBJECT that cannot be run says why and where, in one line, exit code 2."""
    answer = pgq_in_vain("worker", target)
    assert answer.code == 2
    assert words in answer.one_line()


def test_no_such_job(pgq_in_vain: Ask) -> None:
    """A job that is not there gives exit code 1."""
    answer = pgq_in_vain("show", "77")
    assert answer.code == 1
    assert "no job 77" in answer.one_line()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:sEcret@localhost:1/x",
        "postgresql://user:s/Ecret@localhost:1/x",
        "postgresql://localhost:1/x?user=user&password=sEcret",
        "postgresql://user:sEcret@nowhere.invalid/x",
        "host=localhost port=1 password=sEcret",
        "mysql://user:sEcret@localhost:1/x",
        "postgresql+asyncpg://user:sEcret@localhost:1/x",
        "user:sEcret@localhost:1/x",
    ],
)
@pytest.mark.parametrize("command", [("jobs",), ("worker", "jobs:pgq"), ("health",)])
def test_the_password_is_never_shown(
    dsn: str, command: tuple[str, ...], pgq_anywhere: Ask, project: Path
) -> None:
    """When the server cannot be reached the DSN is named without its password."""
    answer = pgq_anywhere(*command, "--dsn", dsn)
    assert answer.code == 2
    assert "Ecret" not in answer.one_line() + answer.out
    assert "cannot connect" in answer.err


@pytest.mark.parametrize("command", [("jobs",), ("enqueue", "a"), ("worker", "jobs:pgq")])
def test_not_installed(
    command: tuple[str, ...], pgq_anywhere: Ask, empty_database: str, project: Path
) -> None:
    """In a database without pgq every command says how to install it."""
    answer = pgq_anywhere(*command, "--dsn", empty_database)
    assert answer.code == 2
    assert "pgq-core install" in answer.one_line()
