"""DSNs: what is taken, and what of one may be shown."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pgq_core import PgQueuer
from pgq_core.cli import commands, group, run
from pgq_core.db import connector, hide_password, plain_dsn
from pgq_core.errors import DatabaseUnreachable


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://u:secret@127.0.0.1:{server.getsockname()[1]}/d?sslmode=disable"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgres://u:p@h/d?ssl=x", "postgres://u:p@h/d?ssl=x"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        (
            "postgresql+psycopg://u:p+q@h/d?sslmode=require",
            "postgresql://u:p+q@h/d?sslmode=require",
        ),
        ("postgresql+psycopg2:///d", "postgresql:///d"),
        ("postgresql+asyncpg://h/d?a=b&ssl=require", "postgresql://h/d?a=b&sslmode=require"),
        ("mysql+pymysql://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        (None, None),
    ],
)
def test_a_driver_in_the_scheme(given: str | None, plain: str | None) -> None:
    """SQLAlchemy's URLs lose the driver's name, and nothing else."""
    assert plain_dsn(given) == plain


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u@h:1/d"),
        ("postgresql+asyncpg://u:secret@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u:se://cret@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s@cret@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=secret", "postgresql://h/d?user=u&password=***"),
        ("postgresql://h/d?password=s@cret", "postgresql://h/d?password=***"),
        ("host=h password='s @ cret' user=u", "host=h password=*** user=u"),
        ("u:secret@h/d", "u@h/d"),
        ("jdbc:postgresql://u:secret@h/d", "jdbc:postgresql://u@h/d"),
        ("postgresql://h/d", "postgresql://h/d"),
    ],
)
def test_a_dsn_without_its_password(dsn: str, shown: str) -> None:
    """However a DSN is written, what is shown of it holds no password."""
    assert hide_password(dsn) == shown


async def test_a_server_that_never_answers(silent_server: str) -> None:
    """A server that does not answer in time is unreachable, on every Python."""
    with pytest.raises(DatabaseUnreachable, match="u@127.0.0.1"):
        async with PgQueuer().connected(silent_server, timeout=0.1):
            pass
    with pytest.raises(DatabaseUnreachable, match="Timeout"):
        await connector(silent_server, timeout=0.1)()


@pytest.mark.parametrize("command", ["jobs", "health"])
def test_the_command_line_waits_for_no_answer(
    silent_server: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At the command line it is one line, and exit code 2."""
    monkeypatch.setattr(group, "CONNECT_TIMEOUT", 0.1)
    assert run(commands, [command, "--dsn", silent_server]) == 2
    assert "cannot connect" in capsys.readouterr().err
