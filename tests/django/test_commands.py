"""The commands besides the worker."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, execute_from_command_line
from django.core.management.base import CommandError
from django.db import connections
from django.utils.timezone import override

import pgq_django
from pgq_core.errors import PgqError
from pgq_django.models import Job, JobBody
from pgq_django.testing import run_pending
from pgq_django.verbs import Verbs, at_once
from tests.django.shop import tasks
from tests.django.support import alias_on


def run(name: str, *arguments: str, **options: Any) -> str:
    """A command's output."""
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def test_status(db: Any) -> None:
    """pgq_status shows what waits, who works and what nobody serves, for people and as JSON."""
    tasks.add.enqueue(1)
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1)
    found = json.loads(run("pgq_status", json=True))
    assert found["jobs"] == {"ready": 1, "deferred": 1, "blocked": 0, "running": 0}
    assert found["unserved"][0]["entrypoint"] == tasks.add.module_path
    text = run("pgq_status")
    assert tasks.add.module_path in text
    assert "Workers\n  none" in text


def test_watching(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """pgq_status --watch shows it again and again, until Control-C."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("pgq_django.management.commands.pgq_status.time.sleep", sleep)
    assert run("pgq_status", watch=0.5).count("Workers\n") == 3
    assert slept == [0.5] * 3


def test_health(db: Any) -> None:
    """pgq_health exits with 1 and says why, until a worker lives."""
    with pytest.raises(SystemExit, match="1"):
        run("pgq_health")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("pgq_health", json=True, stdout=out)
    assert json.loads(out.getvalue())["problems"] == ["0 live workers, 1 are wanted"]
    assert run("pgq_health", min_workers=0) == "healthy\n"
    tasks.add.enqueue(1)
    with pytest.raises(SystemExit):
        run("pgq_health", min_workers=0, max_wait=0.0)


def test_health_without_tables(empty_database: str) -> None:
    """pgq_health is a probe also where the tables are missing."""
    with alias_on(empty_database):
        out = StringIO()
        with pytest.raises(SystemExit):
            call_command("pgq_health", database="other", json=True, stdout=out)
        assert "manage.py migrate" in json.loads(out.getvalue())["problems"][0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: run("pgq_worker", database="other"),
        lambda: run("pgq_status", database="other"),
        lambda: run("pgq_retry", "1", database="other"),
        lambda: pgq_django.enqueue("x", using="other"),
    ],
    ids=["worker", "status", "retry", "enqueue"],
)
def test_a_database_of_another_kind(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the alias is no PostgreSQL, commands and enqueueing say so instead of an SQL error."""
    lite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}}
    monkeypatch.setitem(connections.settings, "other", {**connections.settings["default"], **lite})
    try:
        with pytest.raises((CommandError, PgqError), match="'other' is sqlite; the queue lives in"):
            call()
    finally:
        with suppress(AttributeError):  # the worker has one in its loop only
            del connections["other"]


def test_health_by_file(tmp_path: Path) -> None:
    """A probe may look at the worker's health file alone."""
    path = tmp_path / "health"
    with pytest.raises(SystemExit):
        run("pgq_health", file=path)
    path.touch()
    assert run("pgq_health", file=path) == "healthy\n"
    os.utime(path, (time.time() - 100,) * 2)
    with pytest.raises(SystemExit):
        run("pgq_health", file=path)


def test_retry_and_cancel(db: Any) -> None:
    """Jobs are cancelled and retried by id, or many by filter."""
    one, two = (tasks.add.enqueue(n).id for n in (1, 2))
    assert run("pgq_cancel", one, reason="no").endswith(": cancelled\n")
    assert run("pgq_cancel", task=tasks.add.module_path) == "1 cancelled\n"
    assert run("pgq_retry", one, "pgq-999").splitlines()[1] == "999: unknown"
    assert Job.objects.get(pk=one.removeprefix("pgq-")).state == "ready"
    tasks.fail_once.enqueue("x")
    run_pending()
    assert run("pgq_retry", failed=True, task=tasks.fail_once.module_path) == "1 retried\n"
    assert Job.objects.get(pk=two.removeprefix("pgq-")).state == "cancelled"
    for name in ("pgq_retry", "pgq_cancel"):
        with pytest.raises(CommandError, match="give ids"):
            run(name)
        with pytest.raises(CommandError, match="no job"):
            run(name, "x1")


def test_prune(db: Any) -> None:
    """pgq_prune deletes finished jobs older than the age given, and no other."""
    tasks.add.enqueue(1)
    run_pending()
    tasks.add.enqueue(2)
    assert run("pgq_prune") == "0 pruned\n"
    assert run("pgq_prune", "--succeeded", "0s") == "1 pruned\n"
    assert JobBody.objects.count() == 1


def test_schedules(db: Any) -> None:
    """pgq_schedules lists the rules with their next tick, pauses, resumes and runs them."""
    at_once(Verbs().set_schedule("nightly", "0 3 * * *", entrypoint=tasks.thread_name.module_path))
    assert "nightly" in run("pgq_schedules")
    assert run("pgq_schedules", pause="nightly") == "nightly: pause\n"
    assert json.loads(run("pgq_schedules", json=True))[0]["ticks"] == []
    run("pgq_schedules", resume="nightly")
    assert "job" in run("pgq_schedules", run="nightly")
    assert [ran.outcome for ran in run_pending()] == ["succeeded"]
    run("pgq_schedules", delete="nightly")
    with pytest.raises(CommandError, match="no schedule"):
        run("pgq_schedules", pause="nightly")


def test_times_are_the_sites(db: Any) -> None:
    """Ticks are shown on the clock of the site, with the zone's name."""
    nightly = tasks.thread_name.module_path
    at_once(Verbs().set_schedule("nightly", "0 3 * * *", entrypoint=nightly))
    with override("Asia/Tokyo"):
        assert " 12:00:00 JST" in run("pgq_schedules")


def test_run_now_and_discard(db: Any) -> None:
    """A deferred job can be made due, and any job that does not run can be deleted for good."""
    verbs = Verbs()
    made = pgq_django.enqueue(tasks.add, args=[1], delay=3600)
    assert at_once(verbs.run_now([made, 999])) == {made: "due", 999: "unknown"}
    assert [ran.id for ran in run_pending()] == [made]
    assert at_once(verbs.run_now([made])) == {made: "succeeded"}
    waiting = pgq_django.enqueue(tasks.add, args=[1])
    assert set(at_once(verbs.discard([made, waiting, 999])).values()) == {"discarded", "unknown"}
    assert not JobBody.objects.exists()


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("pgq_status --watch=-1", "'-1' is no duration"),
        ("pgq_health --max-wait=nan", "'nan' is no duration"),
        ("pgq_health --max-failed=-1", "'-1' is no count"),
        ("pgq_health --min-workers=many", "'many' is no count"),
        ("pgq_retry --failed --limit=0", "give 1 or more"),
    ],
)
def test_a_wrong_number_is_a_wrong_usage(
    command: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that makes no sense is named, with exit code 2 and no traceback."""
    with pytest.raises(SystemExit) as left:
        execute_from_command_line(["manage.py", *command.split()])
    assert left.value.code == 2
    assert wrong in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["pgq_retry {} --failed", "pgq_retry {} --queue=a", "pgq_cancel {} --queue=a"]
)
def test_ids_and_filters_are_not_mixed(db: Any, command: str) -> None:
    """Ids beside filters are refused: nobody could say which of the two was meant."""
    failed = pgq_django.enqueue(tasks.fail_once, args=["x"])
    run_pending()
    name, *arguments = command.format(failed).split()
    with pytest.raises(CommandError, match="give ids of jobs, or --"):
        run(name, *arguments)
    assert Job.objects.get(pk=failed).state == "failed"


@pytest.mark.parametrize("command", ["pgq_status", "pgq_prune", "pgq_schedules"])
def test_a_database_that_cannot_be_reached(command: str, empty_database: str) -> None:
    """A database that cannot be reached is named by its alias, in one line."""
    with alias_on(empty_database) as there:
        there.settings_dict["NAME"] = "nowhere"
        with pytest.raises(CommandError, match=r"DATABASES\['other'\] cannot be reached: ") as said:
            run(command, database="other")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("wrong", ["abc", "pgq-", "pgq-1.5", str(2**63)])
@pytest.mark.parametrize("command", ["pgq_retry", "pgq_cancel"])
def test_a_wrong_id_is_a_wrong_usage(
    command: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the command line an id that cannot be one is named, with exit code 2 and no traceback."""
    with pytest.raises(SystemExit) as left:
        execute_from_command_line(["manage.py", command, wrong])
    assert left.value.code == 2
    assert f"{wrong!r} is no job" in capsys.readouterr().err
