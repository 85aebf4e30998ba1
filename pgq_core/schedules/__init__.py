"""Cron rules: checked when they are registered, and the instants at which they fire."""

from pgq_core.schedules.catching_up import due_ticks
from pgq_core.schedules.rule import CATCH_UP, ScheduleRule, check_cron, check_timezone
from pgq_core.schedules.ticks import means_elapsed_time, next_tick, next_ticks

__all__ = [
    "CATCH_UP",
    "ScheduleRule",
    "check_cron",
    "check_timezone",
    "due_ticks",
    "means_elapsed_time",
    "next_tick",
    "next_ticks",
]
