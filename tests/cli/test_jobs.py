"""enqueue, jobs, show, retry, cancel, pause, resume, prune, stats, schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pgq_core.app import PgQueuer
from tests.cli.program import Answer, Database, call

Ask = Callable[..., Answer]


@pytest.fixture
def failed(pgq: Ask, db: Database, project: Path) -> int:
    """A job that has failed, beside one that has succeeded."""
    job = db.enqueue("broken")
    db.enqueue("quick")
    assert call("worker", "jobs:pgq", "--until-empty", dsn=db.dsn, cwd=project).code == 0
    return job


def test_enqueue_prints_the_id(pgq: Ask, db: Database) -> None:
    """`enqueue` prints the job's id, and what was given is what is stored."""
    answer = pgq("enqueue", "mail", '{"to": "a"}', "--priority", "-3", "--queue", "slow",
                 "--max-attempts", "1", "--timeout", "2m")  # fmt: skip
    assert answer.out == "job 1\n"
    assert db.rows("SELECT * FROM pgq_ready") != []
    assert db.rows(
        "SELECT entrypoint, payload, priority, queue, max_attempts, timeout FROM pgq_jobs"
    ) == [("mail", b'{"to": "a"}', -3, "slow", 1, 120.0)]


def test_enqueue_reads_stdin(database: str, db: Database) -> None:
    """PAYLOAD `-` takes any bytes from stdin."""
    assert call("enqueue", "blob", "-", dsn=database, stdin=b"\x00\xff\n").code == 0
    assert db.value("SELECT payload FROM pgq_jobs") == b"\x00\xff\n"


def test_enqueue_later(pgq: Ask, db: Database) -> None:
    """--delay and --run-at keep a job back."""
    pgq("enqueue", "a", "--delay", "10m")
    pgq("enqueue", "b", "--run-at", "2100-01-01T00:00Z")
    assert [db.state(job) for job in (1, 2)] == ["deferred", "deferred"]
    assert db.value("SELECT run_at = '2100-01-01 00:00+00' FROM pgq_jobs WHERE id = 2")
    assert "in 10 min" in pgq("jobs", "--entrypoint", "a").out


def test_enqueue_once_per_key(pgq: Ask, db: Database) -> None:
    """A second job with the same unique key is not enqueued; the first one's id is told."""
    first = pgq("enqueue", "report", "--unique-key", "june", "--json").json
    again = pgq("enqueue", "report", "--unique-key", "june", "--json").json
    assert (first, again) == ({"id": 1, "fresh": True}, {"id": 1, "fresh": False})
    assert "already" in pgq("enqueue", "report", "--unique-key", "june").out
    assert db.value("SELECT count(*) FROM pgq_jobs") == 1


def test_jobs_by_filter_and_page(pgq: Ask, db: Database) -> None:
    """`jobs` filters by state, queue and entrypoint, and pages with --before."""
    for name in ("a", "b", "a", "b", "a"):
        db.enqueue(name)
    pgq("cancel", "3")
    assert [job["id"] for job in pgq("jobs", "--entrypoint", "a", "--json").json] == [5, 3, 1]
    assert [job["id"] for job in pgq("jobs", "--state", "cancelled", "--json").json] == [3]
    assert [job["id"] for job in pgq("jobs", "--queue", "other", "--json").json] == []
    assert [job["id"] for job in pgq("jobs", "--limit", "2", "--json").json] == [5, 4]
    assert "--before 4" in pgq("jobs", "--limit", "2").out
    page = pgq("jobs", "--limit", "2", "--before", "4", "--json").json
    assert [job["id"] for job in page] == [3, 2]


def test_show_a_failure(pgq: Ask, failed: int) -> None:
    """`show` prints every attempt with its traceback, and control characters only as text."""
    text = pgq("show", str(failed)).out
    assert "attempt 1: failed" in text
    assert "ValueError: no \\x1b[31m luck" in text
    assert "\x1b" not in text
    facts = pgq("show", str(failed), "--json").json
    assert facts["state"] == "failed"
    assert facts["attempts"][0]["error"]["message"] == "no \x1b[31m luck"


def test_show_a_result(pgq: Ask, failed: int) -> None:
    """`show` prints what a succeeded job returned."""
    assert pgq("show", str(failed + 1), "--json").json["result"] == {"length": 0}


def test_a_long_payload(pgq: Ask) -> None:
    """`show` gives people the beginning of a long payload, programs all of it."""
    pgq("enqueue", "a", "x" * 5000)
    assert "(5000 characters; --json shows all)" in pgq("show", "1").out
    assert pgq("show", "1", "--json").json["payload"] == "x" * 5000


def test_a_payload_that_is_no_text(pgq: Ask, database: str) -> None:
    """In JSON a payload is text, or base64 where it is none."""
    call("enqueue", "blob", "-", dsn=database, stdin=b"\xff")
    pgq("enqueue", "text", "é")
    assert pgq("show", "1", "--json").json["payload_base64"] == "/w=="
    assert pgq("show", "2", "--json").json["payload"] == "é"


def test_retry_what_failed(pgq: Ask, db: Database, failed: int) -> None:
    """`retry --failed` puts failed jobs back; with --dry-run it only counts them."""
    assert pgq("retry", "--failed", "--dry-run").out == "would be retried: 1\n"
    assert pgq("retry", "--failed", "--entrypoint", "quick").out == "retried: 0\n"
    assert db.state(failed) == "failed"
    assert pgq("retry", "--failed", "--json").json == {"retried": 1}
    assert db.state(failed) == "ready"


def test_retry_by_id(pgq: Ask, db: Database, failed: int) -> None:
    """`retry ID` says what happened to each job; exit code 1 when one could not be retried."""
    dry = pgq("retry", str(failed), "77", "--dry-run", "--json")
    assert (dry.code, dry.json) == (1, {str(failed): "would retry", "77": "unknown"})
    assert pgq("retry", str(failed)).out == f"job {failed}: retried\n"
    again = pgq("retry", str(failed))
    assert (again.code, again.out) == (1, f"job {failed}: running\n")


def test_cancel(pgq: Ask, db: Database) -> None:
    """`cancel` ends waiting jobs and keeps the reason; exit code 1 for a job it does not know."""
    job = db.enqueue("a")
    answer = pgq("cancel", str(job), "77", "--reason", "not needed")
    assert (answer.code, answer.out) == (1, f"job {job}: cancelled\njob 77: unknown\n")
    assert "not needed" in pgq("show", str(job)).out
    assert pgq("cancel", str(db.enqueue("a"))).code == 0


def test_pause_and_resume(pgq: Ask, db: Database, project: Path) -> None:
    """A paused queue starts nothing until it is resumed; `stats` names the pause."""
    job = db.enqueue("quick")
    assert pgq("pause", "default").code == 0
    assert "paused: queue 'default'" in pgq("stats").out
    call("worker", "jobs:pgq", "--until-empty", dsn=db.dsn, cwd=project)
    assert db.state(job) == "ready"
    assert pgq("resume", "default").code == 0
    call("worker", "jobs:pgq", "--until-empty", dsn=db.dsn, cwd=project)
    assert db.state(job) == "succeeded"


def test_prune(pgq: Ask, db: Database, failed: int) -> None:
    """`prune` deletes finished jobs by age and outcome."""
    assert pgq("prune").out == "pruned: 0\n"
    assert pgq("prune", "--succeeded-days", "0", "--json").json == {"pruned": 1}
    assert db.rows("SELECT id FROM pgq_jobs") == [(failed,)]
    assert pgq("prune", "--failed-days", "0").out == "pruned: 1\n"


def test_stats(pgq: Ask, failed: int) -> None:
    """`stats` counts jobs by entrypoint and state."""
    assert pgq("stats", "--json").json["jobs"] == {
        "broken": {"failed": 1}, "quick": {"succeeded": 1},
    }  # fmt: skip
    lines = pgq("stats").out.splitlines()
    assert lines[0].split() == ["entrypoint", "succeeded", "failed"]
    assert lines[2].split() == ["broken", "0", "1"]


def test_schedules(pgq: Ask, database: str) -> None:
    """`schedules` lists cron rules with their next tick."""

    async def declare() -> None:
        async with PgQueuer.connect(database) as queue:
            await queue.queries.set_schedule("nightly", "0 3 * * *", entrypoint="report")

    asyncio.run(declare())
    assert "nightly" in pgq("schedules").out
    assert pgq("schedules", "--json").json[0]["cron"] == "0 3 * * *"


@pytest.mark.parametrize(
    "arguments", [("jobs",), ("show", "1"), ("stats",), ("schedules",), ("health",)]
)
def test_json_for_programs(arguments: tuple[str, ...], pgq: Ask, db: Database) -> None:
    """Every reading command prints one JSON document with --json."""
    db.enqueue("a")
    assert pgq(*arguments, "--json").json is not None
