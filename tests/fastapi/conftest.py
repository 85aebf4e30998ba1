"""An app in this process, or served by a real server in processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.fastapi.served import Served

needed = ("fastapi", "httpx", "uvicorn", "sqlalchemy", "prometheus_client")
absent = [name for name in needed if find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if absent else []

Serve = Callable[..., Served]


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """Start servers; each is stopped at the end, whatever became of it."""
    started: list[Served] = []
    empty = "empty_database" in request.fixturenames
    database: str = request.getfixturevalue("empty_database" if empty else "database")

    def start(app: str, *arguments: str, **options: Any) -> Served:
        server = Served(app, database, tmp_path / f"{len(started)}.sock", arguments, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def deny_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker inside the app: the test runs the jobs."""
    monkeypatch.setenv("PGQ_WORKER", "0")
