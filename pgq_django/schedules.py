"""Cron rules declared at tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pgq_core.errors import InvalidInput
from pgq_core.schedules import ScheduleRule
from pgq_django.compat import is_task
from pgq_django.priorities import to_pgq

T = TypeVar("T")

_rules: dict[str, ScheduleRule] = {}


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
        _rules[rule.name] = rule
        return task

    return attach


def rules() -> list[ScheduleRule]:
    """Every rule declared in this process."""
    return list(_rules.values())
