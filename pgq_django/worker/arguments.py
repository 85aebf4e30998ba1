"""What the worker was told, as settings of its processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError

from pgq_core.options import WorkerOptions
from pgq_django.databases import database_of
from pgq_django.worker.dsn import dsn_of
from pgq_django.worker.flags import chosen
from pgq_django.worker.process import Settings
from pgq_django.worker.supervisor import CHILD, Supervisor
from pgq_django.worker.watch import Watch

CONCURRENCY = 20
SAME = (
    "shutdown_timeout", "until_empty", "lease", "max_jobs", "floor_share",
    "keep_succeeded", "keep_failed", "keep_cancelled",
)  # fmt: skip


def settings_of(options: Mapping[str, Any]) -> Settings:
    """What one process is told. Raises InvalidInput, CommandError."""
    given = chosen(options)
    return Settings(
        database=given.get("database") or database_of(),
        options=options_of(given),
        health_file=given.get("health_file"),
        tether=int(os.environ[CHILD]) if CHILD in os.environ else None,
    )


def options_of(given: Mapping[str, Any]) -> WorkerOptions:
    """The core's options; what was not given is as there. Raises InvalidInput, CommandError."""
    concurrency = given.get("concurrency", CONCURRENCY)
    direct = given.get("listen_database")
    return WorkerOptions(
        concurrency=concurrency,
        threads=given.get("threads", concurrency),
        queues=queues_of(given.get("queue") or ()),
        schedules=not given.get("no_schedules", False),
        prune=not given.get("no_prune", False),
        listen=not given.get("no_listen", False),
        listen_dsn=None if direct is None else dsn_of(direct),
        **{name: given[name] for name in SAME if name in given},
    )


def queues_of(names: Sequence[str]) -> list[str] | dict[str, int] | None:
    """Names; a share of the concurrency for each; None: all. Raises CommandError."""
    if not any("=" in name for name in names):
        return None if not names or "*" in names else list(names)
    pairs = [name.rpartition("=") for name in names]
    if not all(queue and slots.isdecimal() and int(slots) for queue, _, slots in pairs):
        raise CommandError(
            f"--queue {' --queue '.join(names)}: give names, or NAME=SLOTS for every one of them"
        )
    return {queue: int(slots) for queue, _, slots in pairs}


def supervisor_of(options: Mapping[str, Any]) -> Supervisor | None:
    """Several processes, or one that follows the code, have a parent."""
    given = chosen(options)
    count, reload = given.get("processes", 1), given.get("reload", False)
    if CHILD in os.environ or (count == 1 and not reload):
        return None
    if count < 1:
        raise CommandError(f"--processes={count}: give 1 or more")
    return Supervisor(count, Watch() if reload else None)
