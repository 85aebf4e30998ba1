"""The worker's options, once: as flags, and by environment as PGQ_WORKER_<NAME>."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from pgq_django.management.types import alias, keeping, seconds, switch

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
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable that stands for the flag."""
        return PREFIX + self.name.upper()


OPTIONS = (
    Option("queue", "serve this queue; repeatable, * for all (default); NAME=SLOTS for every one "
           "gives each so many of the jobs at a time", many=True, short="-q"),
    Option("concurrency", "jobs at a time (default 20)", int, short="-c"),
    Option("threads", "threads for plain tasks (default: as many as concurrency)", int),
    Option("processes", "worker processes (default 1)", int),
    Option("database", "the alias the queue lives in (default: that of TASKS)", alias),
    Option("until_empty", "stop when no job is ready", switch),
    Option("max_jobs", "stop after so many jobs", int),
    Option("no_schedules", "fire no schedules", switch),
    Option("shutdown_timeout", "what running jobs may take when stopped (default 30s)", seconds),
    Option("lease", "without a beat for so long this worker counts as dead (default 15s)", seconds),
    Option("floor_share", "share of claims that go to low priorities first, 0 to 0.5 (0)", float),
    Option("keep_succeeded", "how long such jobs are kept, or `forever` (default 7d)", keeping),
    Option("keep_failed", "the same for failed ones (default 30d)", keeping),
    Option("keep_cancelled", "the same for cancelled ones (default 7d)", keeping),
    Option("no_prune", "delete nothing, leave that to others", switch),
    Option("no_listen", "poll only", switch),
    Option("listen_database", "an alias that is a direct line, where --database is pooled", alias),
    Option("reload", "restart when code changes; running jobs may finish", switch),
    Option("health_file", "touch this file every second while alive", Path),
)  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """Declare every option."""
    for option in OPTIONS:
        flags = [option.flag, *([option.short] if option.short else [])]
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
            value = names(text) if option.many else read(option, text)
        if value is not None:
            found[option.name] = value
    return found


def names(text: str) -> list[str]:
    """What commas separate."""
    return [name for part in text.split(",") if (name := part.strip())]


def read(option: Option, text: str) -> Any:
    """A value from the environment. Raises CommandError with the variable's name."""
    try:
        return option.kind(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise CommandError(f"{option.variable}={text!r}: {error}") from None
