"""`pgq-core enqueue` with keys, predecessors and a bound, `batch` and `chain`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flow.conftest import Ask

Rows = Callable[..., list[Any]]


def job_of(answer: tuple[int, str, str]) -> int:
    """The id that `enqueue --json` printed."""
    code, out, err = answer
    assert code == 0, err
    return int(json.loads(out)["id"])


# -- unique keys ------------------------------------------------------------------------------


def test_a_key_for_a_period(ask: Ask, rows: Rows) -> None:
    """`--unique-for 1h` holds the key that long, whatever becomes of the job."""
    key = ("enqueue", "report", "--unique-key", "k")
    assert ask(*key, "--unique-for", "1h")[1] == "job 1\n"
    assert ask("cancel", "1")[0] == 0
    assert "job 1 holds the key 'k' already" in ask(*key)[1]
    assert rows("SELECT expires_at > now() + interval '59 min' FROM pgq_locks") == [(True,)]


def test_a_key_while_waiting(ask: Ask, rows: Rows) -> None:
    """`--unique-while waiting` lets the key go when the job starts."""
    ask("enqueue", "report", "--unique-key", "k", "--unique-while", "waiting")
    assert rows("SELECT unique_while FROM pgq_jobs") == [("waiting",)]


def test_what_a_duplicate_does(ask: Ask) -> None:
    """`--on-duplicate replace` gives a new job, `raise` says no with exit code 1."""
    key = ("enqueue", "report", "--unique-key", "k")
    first = job_of(ask(*key, "--json"))
    code, out, err = ask(*key, "--on-duplicate", "raise")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"job {first} holds the unique key 'k'" in err
    second = job_of(ask(*key, "--on-duplicate", "replace", "--json"))
    assert json.loads(ask("show", str(first), "--json")[1])["state"] == "cancelled"
    assert json.loads(ask("show", str(second), "--json")[1])["state"] == "ready"


# -- predecessors -----------------------------------------------------------------------------


def test_after_others(ask: Ask, rows: Rows) -> None:
    """`--after`, repeated, waits for jobs; `--on-failure` says what becomes of it then."""
    a, b = (job_of(ask("enqueue", name, "--json")) for name in "ab")
    waits = job_of(ask("enqueue", "c", "--after", str(a), "--after", str(b), "--json"))
    runs = job_of(ask("enqueue", "d", "--after", str(a), "--on-failure", "run", "--json"))
    ask("cancel", str(a))
    assert rows("SELECT id, state FROM pgq_job_states WHERE id > 2 ORDER BY id") == [
        (waits, "cancelled"), (runs, "ready"),
    ]  # fmt: skip


def test_after_nobody(ask: Ask, rows: Rows) -> None:
    """Waiting for a job that does not exist is an error, and nothing is enqueued."""
    code, _, err = ask("enqueue", "c", "--after", "4711")
    assert (code, "4711" in err) == (2, True)
    assert rows("SELECT count(*) FROM pgq_jobs") == [(0,)]


# -- backpressure -----------------------------------------------------------------------------


def test_a_full_queue(ask: Ask, rows: Rows) -> None:
    """`--max-depth` refuses a job where so many wait, after `--patience`, with exit code 1."""
    bounded = ("enqueue", "report", "--queue", "mail", "--max-depth", "2", "--patience", "0.05")
    assert [ask(*bounded)[0] for _ in range(3)] == [0, 0, 1]
    code, out, err = ask(*bounded)
    assert (code, out) == (1, "")
    assert "queue 'mail' holds 2 jobs or more" in err
    assert ask("enqueue", "report", "--max-depth", "2")[0] == 0
    assert rows("SELECT queue, count(*) FROM pgq_jobs GROUP BY 1 ORDER BY 1") == [
        ("default", 1), ("mail", 2),
    ]  # fmt: skip


# -- batches and chains -----------------------------------------------------------------------

LINES = """
{"entrypoint": "resize", "payload": {"image": 1}, "priority": 1}

{"entrypoint": "resize", "payload": "plain", "delay": "2h", "unique_key": "two"}
{"entrypoint": "resize", "run_at": "2030-01-31T09:00Z", "timeout": "1m", "headers": {"a": 1}}
"""


@pytest.fixture
def lines(tmp_path: Path) -> str:
    """A file of jobs."""
    (tmp_path / "jobs.jsonl").write_text(LINES)
    return str(tmp_path / "jobs.jsonl")


def test_a_batch(ask: Ask, rows: Rows, lines: str) -> None:
    """`batch add` enqueues a file of jobs with callbacks, `batch show` says how far they are."""
    done = '{"entrypoint": "album", "payload": {"name": "Rome"}}'
    code, out, _ = ask("batch", "add", lines, "--on-done", done, "--on-failure", "alarm")
    assert (code, out) == (0, "batch 1: jobs 1, 2, 3\ncallbacks: jobs 4, 5\n")
    assert rows(
        "SELECT entrypoint, priority, timeout, unique_key, state, convert_from(payload, 'UTF8') "
        "FROM pgq_job_states ORDER BY id"
    ) == [
        ("resize", 1, None, None, "ready", '{"image": 1}'),
        ("resize", 5, None, "two", "deferred", "plain"),
        ("resize", 5, 60.0, None, "deferred", None),
        ("album", 5, None, None, "blocked", '{"name": "Rome"}'),
        ("alarm", 5, None, None, "blocked", None),
    ]
    ask("cancel", "1")
    assert ask("batch", "show", "1")[1] == "total 3, succeeded 0, failed 0, cancelled 1, open 2\n"
    shown = json.loads(ask("batch", "show", "1", "--json")[1])
    assert (shown["cancelled"], shown["open"], shown["done"]) == (1, 2, False)
    assert rows("SELECT state FROM pgq_job_states WHERE entrypoint = 'alarm'") == [("ready",)]


def test_a_batch_for_programs(ask: Ask, lines: str) -> None:
    """`batch add --json` prints every id."""
    answer = json.loads(ask("batch", "add", lines, "--on-success", "album", "--json")[1])
    assert answer == {"id": 1, "job_ids": [1, 2, 3], "callback_ids": [4]}


def test_a_chain(ask: Ask, rows: Rows, lines: str) -> None:
    """`chain` enqueues a file of jobs that run one after the other; for a duplicate the job that
    holds the key is named."""
    assert ask("chain", lines) == (0, "chain: jobs 1, 2, 3\n", "")
    assert rows("SELECT id, after FROM pgq_jobs ORDER BY id") == [(1, None), (2, [1]), (3, [2])]
    assert json.loads(ask("chain", lines, "--json")[1])["job_ids"][:2] == [4, 2]


def test_many_jobs_are_said_shortly(ask: Ask, tmp_path: Path) -> None:
    """Of many jobs the first and the last id are printed."""
    (tmp_path / "many").write_text('{"entrypoint": "a"}\n' * 200)
    assert ask("batch", "add", str(tmp_path / "many"))[1] == "batch 1: 200 jobs, 1 to 200\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there are no jobs"), ("\n\n", "there are no jobs"), ("resize", "line 1 is no JSON"),
        ('{"entrypoint": "a"}\n[]', "line 2: give an object"), ('{"payload": 1}', "line 1: give"),
        ('{"entrypoint": "a", "colour": 1}', "line 1: 'colour' is no field"),
        ('{"entrypoint": "a", "delay": "soon"}', "line 1: 'soon' is no duration"),
        ('{"entrypoint": "a", "run_at": "9:00"}', "line 1: '9:00' is no time"),
        ('{"entrypoint": "a", "after": 7}', "after=7"), ('{"entrypoint": ""}', "entrypoint=''"),
        ('{"entrypoint": "a", "priority": "high"}', "priority='high'"),
        ("[" * 100_000, "line 1 is no JSON"), ('{"entrypoint": "\udcff"}', "entrypoint="),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_lines(ask: Ask, rows: Rows, tmp_path: Path, text: str, says: str) -> None:
    """What is no list of jobs is said in one line, with its place, and nothing is enqueued."""
    (tmp_path / "jobs").write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (("batch", "add"), ("chain",)):
        code, out, err = ask(*command, str(tmp_path / "jobs"))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert rows("SELECT count(*) FROM pgq_jobs") == [(0,)]


def test_a_batch_that_is_not_there(ask: Ask) -> None:
    """`batch show` of an unknown number says so in one line."""
    code, out, err = ask("batch", "show", "7")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no batch 7" in err
