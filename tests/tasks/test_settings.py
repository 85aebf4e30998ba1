"""The options that type checkers know are those that exist."""

from __future__ import annotations

import inspect
from dataclasses import fields

from pgq_core import NewJob, PgQueuer
from pgq_core.tasks import EntrypointSettings, JobSettings


def test_task_takes_what_entrypoint_takes() -> None:
    """`@pgq.task` takes every option of `@pgq.entrypoint`."""
    parameters = inspect.signature(PgQueuer.entrypoint).parameters
    assert EntrypointSettings.__annotations__.keys() == parameters.keys() - {
        "self", "name", "aliases",
    }  # fmt: skip


def test_using_takes_what_a_job_takes() -> None:
    """`task.using` takes every option of `NewJob`."""
    names = {field.name for field in fields(NewJob)}
    assert JobSettings.__annotations__.keys() == names - {"entrypoint", "payload"}
