"""`pgq-core doctor`."""

from __future__ import annotations

import json

import psycopg
import pytest

from pgq_core.cli import commands, run


def test_healthy(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A healthy queue: one word, exit code 0."""
    assert run(commands, ["doctor", "--dsn", database]) == 0
    assert capsys.readouterr().out == "healthy\n"


def test_findings(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding is printed with its severity, its name and the way out; errors exit with 2."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO pgq_jobs (entrypoint) VALUES ('mail')")
    assert run(commands, ["doctor", "--dsn", database]) == 2
    first, second = capsys.readouterr().out.splitlines()
    assert first == "error: no_worker: jobs wait (mail), and no worker is alive"
    assert second == "    mend: start one: pgq-core worker module:pgq"


def test_json(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` findings come as data; warnings alone exit with 1."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO pgq_workers (name, lease_seconds, listener) VALUES ('h', 60, 'deaf')"
        )
    assert run(commands, ["doctor", "--json", "--dsn", database]) == 1
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["name"], finding["severity"]) == ("worker_deaf", "warning")
    assert finding["facts"]["name"] == "h"
    assert finding["mend"]


def test_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a database the doctor says so and exits with 2."""
    assert run(commands, ["doctor", "--dsn", "postgresql://u:secret@127.0.0.1:1/x"]) == 2
    assert "cannot connect" in capsys.readouterr().err
