"""health: exit codes for monitoring."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pgq_core.cli.watching import find_problems
from tests.cli.program import Answer, Database, Program

Ask = Callable[..., Answer]
WELL = {
    "workers": 1, "dead_workers": 0, "stalled_workers": 0, "polling_workers": 0, "deaf_workers": 0,
    "oldest_ready": None, "failed_last_hour": 0,
}  # fmt: skip


def test_well(pgq: Ask, db: Database, start: Callable[..., Program]) -> None:
    """With a live worker `health` says ok, exit code 0."""
    start("jobs:pgq").says("started")
    answer = pgq("health", "--json")
    assert (answer.code, answer.json["status"], answer.json["workers"]) == (0, "ok", 1)
    assert pgq("health").out == "ok\n"


def test_polling(pgq: Ask, db: Database, start: Callable[..., Program]) -> None:
    """A worker that polls because it was told to is well: `health` says it, exit code 0."""
    start("jobs:pgq", "--no-listen").says("started")
    answer = pgq("health")
    assert (answer.code, answer.out) == (0, "ok; 1 polling (a pooler, or --no-listen)\n")
    assert pgq("health", "--json").json["polling_workers"] == 1


def test_without_a_worker(pgq: Ask) -> None:
    """Without a live worker `health` is degraded, exit code 1."""
    answer = pgq("health")
    assert (answer.code, answer.out) == (1, "degraded; no worker is alive\n")


def test_an_old_job(pgq: Ask, db: Database) -> None:
    """A ready job that waits longer than --max-age degrades."""
    job = db.enqueue("a")
    db.rows("UPDATE pgq_jobs SET created_at = now() - interval '1 hour' WHERE id = %s", job)
    assert "the oldest ready job has waited 60 min" in pgq("health").out
    assert "oldest" not in pgq("health", "--max-age", "2h").out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stalled_workers": 1}, "stalled"),
        ({"deaf_workers": 2}, "should hear notifications"),
        ({"failed_last_hour": 3}, "3 jobs failed"),
    ],
)
def test_other_problems(change: dict[str, int], words: str) -> None:
    """Stalled workers, deaf workers and too many failures degrade."""
    assert find_problems(WELL, 300, 2) == []
    [problem] = find_problems({**WELL, **change}, 300, 2)
    assert words in problem


def test_not_installed(pgq_anywhere: Ask, empty_database: str) -> None:
    """Without pgq's tables `health` gives exit code 2."""
    answer = pgq_anywhere("health", "--dsn", empty_database)
    assert answer.code == 2
    assert "not installed" in answer.one_line()


def test_unreachable(pgq_anywhere: Ask) -> None:
    """Without a server `health` gives exit code 2, and JSON where it was asked for."""
    answer = pgq_anywhere("health", "--dsn", "postgresql://localhost:1/x", "--json")
    assert (answer.code, answer.json["status"]) == (2, "unreachable")
