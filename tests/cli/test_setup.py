"""install, upgrade, uninstall, and which database they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pgq_core.cli import commands
from tests.cli.program import Answer, Database, call

Ask = Callable[..., Answer]
NAMES = sorted([*commands.commands, "demo"])


def test_install_creates_the_tables_and_may_be_repeated(
    pgq_anywhere: Ask, empty_database: str
) -> None:
    """`install` creates the tables; a second time it changes nothing."""
    first = pgq_anywhere("install", "--dsn", empty_database)
    again = pgq_anywhere("--dsn", empty_database, "install")
    assert (first.code, again.code) == (0, 0)
    assert "installed" in first.out
    assert "current" in again.out


def test_any_schema(pgq_anywhere: Ask, empty_database: str) -> None:
    """`--schema` puts everything into a schema of its own, PGQ_SCHEMA finds it again."""
    assert pgq_anywhere("install", "--dsn", empty_database, "--schema", "Odd name").code == 0
    found = call("enqueue", "x", dsn=empty_database, PGQ_SCHEMA="Odd name")
    assert found.out == "job 1\n"
    assert pgq_anywhere("jobs", "--dsn", empty_database).code == 2


def test_upgrade_does_not_install(pgq_anywhere: Ask, empty_database: str) -> None:
    """`upgrade` in the wrong schema says that pgq is not there, and creates nothing."""
    answer = pgq_anywhere("upgrade", "--dsn", empty_database)
    assert answer.code == 2
    assert "not installed" in answer.one_line()
    assert pgq_anywhere("jobs", "--dsn", empty_database).code == 2


def test_upgrade_of_current_tables(pgq: Ask) -> None:
    """`upgrade` of current tables says so."""
    answer = pgq("upgrade")
    assert (answer.code, "current" in answer.out) == (0, True)


def test_uninstall_takes_only_what_is_ours(pgq: Ask, db: Database) -> None:
    """`uninstall` removes everything pgq created and leaves your own tables alone."""
    db.rows("CREATE TABLE orders (id integer)")
    assert pgq("uninstall", "--yes").code == 0
    left = db.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert left == [("orders",)]


def test_uninstall_asks(database: str, db: Database) -> None:
    """Without --yes and without anybody to ask, `uninstall` does nothing."""
    answer = call("uninstall", dsn=database)
    assert answer.code == 2
    assert "--yes" in answer.one_line()
    assert db.value("SELECT count(*) FROM pgq_jobs") == 0


def test_the_flag_comes_before_the_environment(
    pgq_anywhere: Ask, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dsn comes before PGQ_DSN, PGQ_DSN before DATABASE_URL."""
    nowhere = "postgresql://localhost:1/nowhere"
    monkeypatch.setenv("DATABASE_URL", database)
    assert pgq_anywhere("jobs").code == 0
    monkeypatch.setenv("PGQ_DSN", nowhere)
    assert pgq_anywhere("jobs").code == 2
    assert pgq_anywhere("jobs", "--dsn", database).code == 0
    assert pgq_anywhere("--dsn", database, "jobs").code == 0
    monkeypatch.setenv("PGQ_DSN", database)
    monkeypatch.setenv("DATABASE_URL", nowhere)
    assert pgq_anywhere("jobs").code == 0


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"]
)
def test_the_url_may_be_sqlalchemys(
    pgq_anywhere: Ask, database: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The URL that your ORM has in DATABASE_URL will do, driver and all."""
    url = database.replace("postgresql", scheme, 1)
    assert pgq_anywhere("jobs", "--dsn", url).code == 0
    monkeypatch.setenv("DATABASE_URL", url)
    assert pgq_anywhere("jobs").code == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_help(name: str, pgq_anywhere: Ask) -> None:
    """Every command explains itself with --help, without a database."""
    answer = pgq_anywhere(name, "--help")
    assert answer.code == 0
    assert f"pgq-core {name}" in answer.out


def test_the_overview_names_commands_and_exit_codes() -> None:
    """`python -m pgq_core --help` lists every command and what the exit codes mean."""
    answer = call("--help")
    assert answer.code == 0
    assert all(f"\n  {name} " in answer.out for name in NAMES)
    assert "Exit codes" in answer.out


def test_alone_it_shows_the_help() -> None:
    """Without a command the overview goes to stderr, with exit code 2."""
    answer = call()
    assert (answer.code, answer.out) == (2, "")
    assert "Usage:" in answer.err


def test_without_click(tmp_path: Path) -> None:
    """Without click, `python -m pgq_core` says in one line which extra to install."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['click'] = None\n")
    root = str(Path(__file__).parents[2])
    answer = call("jobs", PYTHONPATH=f"{tmp_path}:{root}")
    assert answer.code == 2
    assert "pip install 'pgq-suite[cli]'" in answer.one_line()
