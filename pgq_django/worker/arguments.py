"""The worker's options, once: as flags, and by environment as PGQ_WORKER_<NAME>."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from pgq_core.options import WorkerOptions
from pgq_django.databases import database_of
from pgq_django.worker.process import Settings
from pgq_django.worker.supervisor import CHILD, Supervisor
from pgq_django.worker.watch import Watch

PREFIX = "PGQ_WORKER_"


@dataclass(frozen=True)
class Option:
    """One option of `manage.py pgq_worker`."""

    name: str
    help: str
    kind: Callable[[str], Any] = str
    many: bool = False
    short: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that stands for the flag."""
        return PREFIX + self.name.upper()


def switch(text: str) -> bool:
    """A yes or no from the environment."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("give 1 or 0")


OPTIONS = (
    Option("queue", "serve this queue; repeatable, * for all (default)", many=True, short="-q"),
    Option("concurrency", "jobs at a time (default 20)", int, short="-c"),
    Option("threads", "threads for plain tasks (default: as many as concurrency)", int),
    Option("processes", "worker processes (default 1)", int),
    Option("database", "the alias the queue lives in (default: that of TASKS)"),
    Option("until_empty", "stop when no job is ready", switch),
    Option("max_jobs", "stop after so many jobs", int),
    Option("no_schedules", "fire no schedules", switch),
    Option("shutdown_timeout", "seconds running jobs may take when stopped (default 30)", float),
    Option("lease", "seconds without a beat after which this worker counts as dead (15)", float),
    Option("reload", "restart when code changes; running jobs may finish", switch),
    Option("health_file", "touch this file every second while alive", Path),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare every option."""
    for option in OPTIONS:
        flags = ["--" + option.name.replace("_", "-"), *([option.short] if option.short else [])]
        help_ = f"{option.help} [{option.variable}]"
        if option.kind is switch:
            parser.add_argument(*flags, action="store_true", default=None, help=help_)
        elif option.many:
            parser.add_argument(*flags, action="append", help=help_)
        else:
            parser.add_argument(*flags, type=option.kind, help=help_)


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Flags first, then the environment; what neither states is absent."""
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value, text = options.get(option.name), os.environ.get(option.variable)
        if value is None and text:
            value = (
                [part.strip() for part in text.split(",")] if option.many else read(option, text)
            )
        if value is not None:
            found[option.name] = value
    return found


def read(option: Option, text: str) -> Any:
    """A value from the environment. Raises CommandError with the variable's name."""
    try:
        return option.kind(text)
    except ValueError as error:
        raise CommandError(f"{option.variable}={text!r}: {error}") from None


def settings_of(options: Mapping[str, Any]) -> Settings:
    """What one process is told. Raises InvalidInput."""
    given = chosen(options)
    queues = given.get("queue")
    concurrency = given.get("concurrency", 20)
    return Settings(
        database=given.get("database") or database_of(),
        options=WorkerOptions(
            concurrency=concurrency,
            threads=given.get("threads") or concurrency,
            queues=None if not queues or "*" in queues else queues,
            shutdown_timeout=given.get("shutdown_timeout", 30.0),
            until_empty=given.get("until_empty", False),
            lease=given.get("lease", 15.0),
            schedules=not given.get("no_schedules", False),
            max_jobs=given.get("max_jobs"),
        ),
        health_file=given.get("health_file"),
        tether=int(os.environ[CHILD]) if CHILD in os.environ else None,
    )


def supervisor_of(options: Mapping[str, Any]) -> Supervisor | None:
    """Several processes, or one that follows the code, have a parent."""
    given = chosen(options)
    count, reload = given.get("processes", 1), given.get("reload", False)
    if CHILD in os.environ or (count == 1 and not reload):
        return None
    if count < 1:
        raise CommandError(f"--processes={count}: give 1 or more")
    return Supervisor(count, Watch() if reload else None)
