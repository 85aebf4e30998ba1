"""Cron rules declared at tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError

from pgq_core.errors import InvalidInput
from pgq_core.schedules import ScheduleRule
from pgq_django.compat import is_task, task_backends
from pgq_django.databases import home_of
from pgq_django.priorities import to_pgq

log = logging.getLogger("pgq_django")

T = TypeVar("T")

_rules: dict[str, tuple[ScheduleRule, Any]] = {}  # with their tasks


def schedule(
    cron: str,
    *,
    timezone: str = "UTC",
    name: str | None = None,
    catch_up: str = "last",
    jitter: float = 0.0,
) -> Callable[[T], T]:
    """Run a task without arguments by a cron rule; stands above `@task`.

        @pgq_django.schedule("0 9 * * *", timezone="Europe/Paris")
        @task
        def report(): ...

    A tick is one ordinary job, once over all workers. `catch_up`: what happens to ticks missed
    while no worker ran, "skip", "last" or "all". Raises InvalidInput.
    """

    def attach(task: T) -> T:
        if not is_task(task):
            raise InvalidInput("@pgq_django.schedule(...) stands above @task")
        made: Any = task
        rule = ScheduleRule(
            name or made.module_path, cron, timezone, catch_up, made.module_path, made.queue_name,
            to_pgq(made.priority), jitter,
        )  # fmt: skip
        _rules[rule.name] = rule, made
        return task

    return attach


def rules(using: str) -> list[ScheduleRule]:
    """The rules declared in this process whose tasks' queue lives in this database: with several
    queues a tick is a job in one of them."""
    found = []
    for rule, task in _rules.values():
        stated = getattr(task_backends[task.backend], "database", using)
        try:
            ours = home_of(stated, using) == stated
        except DatabaseError as error:
            log.error("schedule %s is left to others: %s", rule.name, error)
        else:
            found += [rule] if ours else []
    return found
