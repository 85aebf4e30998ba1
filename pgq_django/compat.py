"""Django's Tasks, wherever they live: `django.tasks` from 6.0 on, `django_tasks` on 5.2.

The backport renames its exceptions between releases; both names are tried.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeAlias

import django

NATIVE = django.VERSION >= (6, 0)
PACKAGE = "django.tasks" if NATIVE else "django_tasks"

if TYPE_CHECKING:
    from django.tasks import TaskContext, TaskResult, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json

    TaskResultStatus: Any
    AnyTask: TypeAlias = Task[Any, Any]
    Result: TypeAlias = TaskResult[Any, Any]
else:
    _root = importlib.import_module(PACKAGE)
    _base = importlib.import_module(f"{PACKAGE}.base")
    _errors = importlib.import_module(f"{PACKAGE}.exceptions")
    _signals = importlib.import_module(f"{PACKAGE}.signals")
    _json = importlib.import_module("django.utils.json" if NATIVE else "django_tasks.utils")

    Task, TaskError = _base.Task, _base.TaskError
    TaskContext, TaskResult = _base.TaskContext, _base.TaskResult
    TaskResultStatus = _base.TaskResultStatus
    task_backends = _root.task_backends
    BaseTaskBackend = importlib.import_module(f"{PACKAGE}.backends.base").BaseTaskBackend
    InvalidTask = getattr(_errors, "InvalidTask", None) or _errors.InvalidTaskError
    TaskResultDoesNotExist = _errors.TaskResultDoesNotExist
    task_enqueued, task_started = _signals.task_enqueued, _signals.task_started
    task_finished = _signals.task_finished
    normalize_json = _json.normalize_json
    AnyTask, Result = Task, TaskResult

__all__ = [
    "NATIVE",
    "PACKAGE",
    "AnyTask",
    "BaseTaskBackend",
    "InvalidTask",
    "Result",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "is_task",
    "normalize_json",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]


def is_task(value: Any) -> bool:
    """Whether this is a Task, of whatever backend."""
    return isinstance(value, Task)
