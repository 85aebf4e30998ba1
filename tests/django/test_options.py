"""Every option of the worker: as a flag, and by environment."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from pgq_django.worker import arguments
from pgq_django.worker.arguments import OPTIONS

GIVEN: dict[str, tuple[str, Any]] = {
    "queue": ("a", ["a"]),
    "concurrency": ("7", 7),
    "threads": ("3", 3),
    "processes": ("2", 2),
    "database": ("other", "other"),
    "until_empty": ("1", True),
    "max_jobs": ("9", 9),
    "no_schedules": ("true", True),
    "shutdown_timeout": ("2.5", 2.5),
    "lease": ("20", 20.0),
    "reload": ("yes", True),
    "health_file": ("/run/pgq", Path("/run/pgq")),
}


def parsed(*flags: str) -> dict[str, Any]:
    """What the command makes of a command line."""
    parser = argparse.ArgumentParser()
    arguments.add(parser)
    return arguments.chosen(vars(parser.parse_args(flags)))


def test_all_are_tried() -> None:
    """No option is left out below."""
    assert set(GIVEN) == {option.name for option in OPTIONS}


@pytest.mark.parametrize("name", GIVEN)
def test_a_flag_and_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option means the same as a flag and as PGQ_WORKER_<NAME>; the flag wins."""
    text, value = GIVEN[name]
    flag = "--" + name.replace("_", "-")
    switch = next(option.kind is arguments.switch for option in OPTIONS if option.name == name)
    assert parsed(*([flag] if switch else [flag, text])) == {name: value}
    monkeypatch.setenv(f"PGQ_WORKER_{name.upper()}", text)
    assert parsed() == {name: value}
    monkeypatch.setenv(f"PGQ_WORKER_{name.upper()}", "0")
    assert parsed(*([flag] if switch else [flag, text])) == {name: value}


def test_queues() -> None:
    """--queue may be repeated, and * means all, as does none."""
    settings = arguments.settings_of
    assert settings({"queue": ["a", "b"]}).options.queues == ["a", "b"]
    assert settings({"queue": ["a", "*"]}).options.queues is None
    assert settings({}).options.queues is None


@pytest.mark.parametrize(("name", "text"), [("CONCURRENCY", "many"), ("RELOAD", "perhaps")])
def test_a_bad_variable_is_named(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that cannot be read is named with its value."""
    monkeypatch.setenv(f"PGQ_WORKER_{name}", text)
    with pytest.raises(CommandError, match=f"PGQ_WORKER_{name}='{text}'"):
        parsed()


def test_no_processes() -> None:
    """--processes wants at least one."""
    with pytest.raises(CommandError, match="--processes=0"):
        arguments.supervisor_of({"processes": 0})
