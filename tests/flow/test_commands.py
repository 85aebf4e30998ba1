"""`pgq-core schedules …`, `redrive`, `delete`, and `retry` and `cancel` by filter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flow.conftest import Ask


def test_the_life_of_a_schedule(ask: Ask, rows: Callable[..., list[Any]]) -> None:
    """A schedule is added, listed with its next five ticks, changed, paused, resumed, run now and
    deleted from the command line."""
    code, out, _ = ask("schedules", "add", "nightly", "30 2 * * *", "--entrypoint", "report",
                       "--timezone", "Asia/Kolkata", "--payload", '{"to": "ops"}', "--catch-up",
                       "all", "--jitter", "90s", "--queue", "mail", "--priority", "1")  # fmt: skip
    assert (code, out[:27]) == (0, "schedule 'nightly': next 20")
    _, out, _ = ask("schedules", "--json")
    (facts,) = json.loads(out)
    assert (facts["name"], facts["timezone"], facts["payload"]) == (
        "nightly", "Asia/Kolkata", '{"to": "ops"}',
    )  # fmt: skip
    assert (facts["catch_up"], facts["jitter"], facts["priority"]) == ("all", 90.0, 1)
    assert len(facts["ticks"]) == 5
    _, out, _ = ask("schedules")
    assert out.count(" 21:00") == 5  # half past two in Kolkata

    assert ask("schedules", "pause", "nightly") == (0, "paused: schedule 'nightly'\n", "")
    _, out, _ = ask("schedules")
    assert "paused for" in out
    assert "21:00" not in out
    ask("schedules", "add", "nightly", "0 4 * * *", "--entrypoint", "report")
    assert ask("schedules", "resume", "nightly")[0] == 0
    assert ask("schedules")[1].count(" 04:00") == 5

    code, out, _ = ask("schedules", "run", "nightly")
    assert (code, out) == (0, "job 1\n")
    assert rows("SELECT entrypoint, queue FROM pgq_jobs") == [("report", "default")]
    assert json.loads(ask("schedules", "run", "nightly", "--json")[1]) == {"id": 2}
    assert ask("schedules", "delete", "nightly") == (0, "deleted: schedule 'nightly'\n", "")
    assert json.loads(ask("schedules", "--json")[1]) == []


def test_an_undeclared_schedule_is_marked(ask: Ask, rows: Callable[..., list[Any]]) -> None:
    """A schedule that stood in code no live worker has is listed with that remark."""
    ask("schedules", "add", "old", "@daily", "--entrypoint", "report")
    rows("UPDATE pgq_schedules SET origin = 'code'")
    assert "no live worker declares it" in ask("schedules")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "a", "0 9 * *", "--entrypoint", "x"), "has 4 fields"),
        (("add", "a", "@daily"), "--entrypoint"),
        (("add", "a", "@daily", "--entrypoint", "x", "--timezone", "Mars"), "Europe/Paris"),
        (("add", "", "@daily", "--entrypoint", "x"), "NAME"),
        (("add", "a", "@daily", "--entrypoint", "x", "--jitter", "soon"), "duration"),
        (("pause", "nothing"), "no schedule 'nothing'"),
        (("run", "nothing"), "no schedule 'nothing'"),
        (("explode",), "explode"),
    ],
)  # fmt: skip
def test_wrong_schedules(ask: Ask, arguments: tuple[str, ...], says: str) -> None:
    """What cannot be is said in one line, and the exit code is 2."""
    code, out, err = ask("schedules", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_the_database_may_be_named_anywhere(ask: Ask, database: str) -> None:
    """`--dsn` may stand behind the group, the command, or the program."""
    for arguments in (
        ("--dsn", database, "schedules"), ("schedules", "--dsn", database),
        ("schedules", "add", "a", "@daily", "--entrypoint", "x", "--dsn", database),
    ):  # fmt: skip
        assert ask(*arguments)[0] == 0


@pytest.fixture
def jobs(rows: Callable[..., list[Any]]) -> None:
    """Five failed jobs of `a` and three of `b` in queue `mail`, two ready ones of `a`."""
    rows(
        "INSERT INTO pgq_jobs (entrypoint, queue, created_at) "
        "SELECT CASE WHEN n > 5 THEN 'b' ELSE 'a' END, CASE WHEN n > 5 THEN 'mail' ELSE 'default' END,"
        " now() - n * interval '1 hour' FROM generate_series(1, 8) AS n"
    )
    rows("DELETE FROM pgq_ready")
    rows("INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at) "
         "SELECT id, 1, 'failed', now() FROM pgq_jobs")  # fmt: skip
    rows("INSERT INTO pgq_jobs (entrypoint) VALUES ('a'), ('a')")


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("retry", "--failed"), 8), (("retry", "--failed", "--queue", "mail"), 3),
        (("retry", "--failed", "--older-than", "3.5h"), 5),
        (("retry", "--failed", "--entrypoint", "a", "--limit", "2"), 2),
        (("delete", "--all"), 8), (("delete", "--state", "failed", "--entrypoint", "b"), 3),
        (("delete", "--older-than", "7.5h"), 1),
        (("cancel", "--all"), 2), (("cancel", "--state", "ready", "--limit", "1"), 1),
        (("cancel", "--queue", "mail"), 0),
    ],
)  # fmt: skip
def test_by_filter(
    ask: Ask, rows: Callable[..., list[Any]], arguments: tuple[str, ...], count: int
) -> None:
    """A dry run says how many jobs match and changes nothing; without it so many are changed."""
    states = "SELECT state, count(*) FROM pgq_job_states GROUP BY 1 ORDER BY 1"
    before = rows(states)
    code, out, _ = ask(*arguments, "--dry-run")
    assert (code, out.split()[-1], rows(states)) == (0, str(count), before)
    assert list(json.loads(ask(*arguments, "--dry-run", "--json")[1]).values()) == [count]
    code, out, _ = ask(*arguments)
    assert (code, out.split()[-1]) == (0, str(count))
    assert (rows(states) == before) is (count == 0)


@pytest.mark.usefixtures("jobs")
def test_redrive(ask: Ask, rows: Callable[..., list[Any]]) -> None:
    """`redrive --rate` puts failed jobs back one after the other and says when the last is due."""
    code, out, _ = ask("redrive", "--rate", "0.5", "--entrypoint", "b")
    assert (code, out) == (0, "redriven: 3, the last one is due in 4 s\n")
    assert json.loads(ask("redrive", "--rate", "100", "--limit", "4", "--json")[1]) == {
        "redriven": 4
    }
    assert rows("SELECT count(*) FROM pgq_job_states WHERE state = 'failed'") == [(1,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete",), ("delete", "--all", "--queue", "x"), ("delete", "--state", "ready"),
        ("delete", "--dry-run"), ("cancel", "--dry-run"), ("cancel", "1", "--all"),
        ("cancel", "1", "--queue", "x"), ("cancel", "1", "--dry-run"), ("redrive",),
        ("redrive", "--rate", "0"), ("retry", "1", "--limit", "5"),
    ],
)  # fmt: skip
def test_too_little_said(ask: Ask, arguments: tuple[str, ...]) -> None:
    """Nothing happens to many jobs by an oversight: filters, or --all, are asked for."""
    code, out, err = ask(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("arguments", "says", "rule"),
    [
        (("mail",), "queue 'mail'", ("mail", "")),
        (("--entrypoint", "a"), "a in every queue", ("", "a")),
        (("mail", "--entrypoint", "a"), "a in queue 'mail'", ("mail", "a")),
    ],
)
def test_pausing(
    ask: Ask,
    rows: Callable[..., list[Any]],
    arguments: tuple[str, ...],
    says: str,
    rule: tuple[str, str],
) -> None:
    """A queue, an entrypoint, or one in the other is paused, named by `stats`, and resumed."""
    paused = "SELECT queue, entrypoint FROM pgq_queues WHERE paused_at IS NOT NULL"
    assert ask("pause", *arguments) == (0, f"paused: {says}; running jobs go on\n", "")
    assert rows(paused) == [rule]
    assert f"paused: {says}\n" in ask("stats")[1]
    (shown,) = json.loads(ask("stats", "--json")[1])["paused"]
    assert (shown["queue"], shown["entrypoint"]) == rule
    assert ask("resume", *arguments) == (0, f"resumed: {says}\n", "")
    assert rows(paused) == []
