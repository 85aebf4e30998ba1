"""Every option of the worker: as a flag, and by environment."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pgq_core.errors import InvalidInput
from pgq_core.options import OLDEST, WEEK, WorkerOptions
from pgq_django.management.types import switch
from pgq_django.worker import arguments, flags
from pgq_django.worker.dsn import dsn_of
from pgq_django.worker.flags import OPTIONS

GIVEN: dict[str, tuple[str, Any]] = {
    "queue": ("a", ["a"]),
    "concurrency": ("7", 7),
    "threads": ("3", 3),
    "processes": ("2", 2),
    "database": ("default", "default"),
    "until_empty": ("1", True),
    "max_jobs": ("9", 9),
    "no_schedules": ("true", True),
    "shutdown_timeout": ("2.5", 2.5),
    "lease": ("1m", 60.0),
    "floor_share": ("0.1", 0.1),
    "keep_succeeded": ("12h", timedelta(hours=12)),
    "keep_failed": ("forever", OLDEST),
    "keep_cancelled": ("0", timedelta(0)),
    "no_prune": ("on", True),
    "no_listen": ("1", True),
    "listen_database": ("default", "default"),
    "reload": ("yes", True),
    "health_file": ("/run/pgq", Path("/run/pgq")),
}


def parsed(*typed: str) -> dict[str, Any]:
    """What the command makes of a command line."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    flags.add(parser)
    return flags.chosen(vars(parser.parse_args(typed)))


def told(*typed: str) -> WorkerOptions:
    """What the worker of that command line is told."""
    return arguments.settings_of(parsed(*typed)).options


def test_all_are_tried() -> None:
    """No option is left out below."""
    assert set(GIVEN) == {option.name for option in OPTIONS}


@pytest.mark.parametrize("name", GIVEN)
def test_a_flag_and_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option means the same as a flag and as PGQ_WORKER_<NAME>; the flag wins."""
    text, value = GIVEN[name]
    option = next(option for option in OPTIONS if option.name == name)
    typed = [option.flag] if option.kind is switch else [option.flag, text]
    assert parsed(*typed) == {name: value}
    monkeypatch.setenv(f"PGQ_WORKER_{name.upper()}", text)
    assert parsed() == {name: value}
    monkeypatch.setenv(f"PGQ_WORKER_{name.upper()}", "nonsense")
    assert parsed(*typed) == {name: value}


def test_what_is_not_said() -> None:
    """Without flags a worker is what the documentation says: twenty jobs at a time, history for a
    week, failures for a month."""
    assert told() == WorkerOptions(concurrency=20, threads=20)


def test_what_is_said() -> None:
    """Every flag that is about the worker's own doing reaches it."""
    assert told(
        "--concurrency=7", "--until-empty", "--max-jobs=9", "--no-schedules",
        "--shutdown-timeout=2m", "--lease=20s", "--floor-share=0.1", "--keep-succeeded=12h",
        "--keep-failed=forever", "--no-prune", "--no-listen", "--listen-database=default",
    ) == WorkerOptions(
        concurrency=7, threads=7, until_empty=True, max_jobs=9, schedules=False,
        shutdown_timeout=120, lease=20, floor_share=0.1, keep_succeeded=timedelta(hours=12),
        keep_failed=OLDEST, keep_cancelled=WEEK, prune=False, listen=False,
        listen_dsn=dsn_of("default"),
    )  # fmt: skip


def test_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """--queue may be repeated, and * means all, as does none; NAME=SLOTS gives each a share."""
    assert told("--queue=a", "-q", "b").queues == ["a", "b"]
    assert told("--queue=a", "--queue=*").queues is None
    assert told().queues is None
    assert told("-qmail=3", "-qreports=1").queues == {"mail": 3, "reports": 1}
    monkeypatch.setenv("PGQ_WORKER_QUEUE", "mail=3, reports=1,")
    assert told().queues == {"mail": 3, "reports": 1}


@pytest.mark.parametrize("names", [("mail=3", "reports"), ("mail=0",), ("mail=x",), ("=3", "*")])
def test_half_a_share(names: tuple[str, ...]) -> None:
    """A share that is none, or that some queues have and others have not, is refused."""
    with pytest.raises(CommandError, match=r"--queue .*NAME=SLOTS for every one"):
        told(*(f"--queue={name}" for name in names))


BAD = [
    ("CONCURRENCY", "many", "many"),
    ("RELOAD", "perhaps", "give 1 or 0"),
    ("KEEP_FAILED", "7x", "give seconds, or 90s, 10m, 2h, 7d"),
    ("LEASE", "9999999d", "give seconds"),
    ("DATABASE", "elsewhere", "not in DATABASES; there are: default"),
]


@pytest.mark.parametrize(("name", "text", "way_out"), BAD)
def test_a_bad_variable_is_named(
    name: str, text: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that cannot be read is named with its value, and the way out."""
    monkeypatch.setenv(f"PGQ_WORKER_{name}", text)
    with pytest.raises(CommandError, match=f"PGQ_WORKER_{name}='{text}': .*{way_out}"):
        parsed()


@pytest.mark.parametrize(("flag", "text", "way_out"), BAD[2:])
def test_a_bad_flag_is_named(flag: str, text: str, way_out: str) -> None:
    """So is a flag."""
    typed = "--" + flag.lower().replace("_", "-")
    with pytest.raises(argparse.ArgumentError, match=f"{typed}: '{text}' .*{way_out}"):
        parsed(typed, text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("floor_share", 0.7), ("threads", 0), ("concurrency", 0), ("max_jobs", -1), ("lease", 0.5)],
)
def test_a_number_out_of_range_is_named(name: str, value: float) -> None:
    """A number that makes no sense is refused before anything is connected, by the command too."""
    with pytest.raises(InvalidInput, match=f"{name}={value}"):
        arguments.settings_of({name: value})
    with pytest.raises(CommandError, match=f"{name}={value}"):
        call_command("pgq_worker", **{name: value})


def test_no_processes() -> None:
    """--processes wants at least one."""
    with pytest.raises(CommandError, match="--processes=0"):
        arguments.supervisor_of({"processes": 0})
