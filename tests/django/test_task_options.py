"""What may be said of a task, and when it is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import pgq_django
from pgq_core import Backoff
from pgq_django.compat import NATIVE, InvalidTask
from pgq_django.worker.policy import Policy

if NATIVE:
    from django.tasks import task
else:
    from django_tasks import task


def declared(**options: Any) -> Any:
    """A new task with these options."""

    def work() -> None:
        """Do nothing."""

    work.__qualname__ = "work"
    return task(pgq_django.options(**options)(work))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_attempts": 0}, "max_attempts=0: give"),
        ({"max_attempts": "3"}, "max_attempts='3': this is of the wrong kind"),
        ({"backoff": "1m"}, "backoff='1m': give"),
        ({"timeout": timedelta(-1)}, "timeout=-86400.0: give"),
        ({"rate_limit": "5/x"}, "rate_limit='5/x': give"),
        ({"concurrency_limit": 0}, "concurrency_limit=0: give"),
        ({"retry_on": ValueError("x")}, "give exception classes"),
        ({"aliases": "old.path"}, "aliases='old.path': give a list"),
    ],
)
def test_wrong_options_are_refused_where_they_stand(options: dict[str, Any], said: str) -> None:
    """An option that no worker could use is an error when the task is declared, so that it does
    not keep every worker from starting."""
    with pytest.raises(InvalidTask, match=said):
        declared(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 1, "backoff": Backoff(), "timeout": 0.5, "rate_limit": "5/s"},
        {"backoff": lambda error, result: None, "retry_on": OSError},
        {"retry_on": (OSError, ValueError), "no_retry_on": [KeyError], "aliases": ["a.b"]},
    ],
)
def test_right_options(options: dict[str, Any]) -> None:
    """What the documentation allows is taken."""
    assert Policy(declared(**options)).entrypoint.max_attempts in (1, 5)
