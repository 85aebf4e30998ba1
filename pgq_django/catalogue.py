"""The tasks this process knows, by their module paths.

Only paths are noted, when a task is declared; the Task itself is looked up by its path, so that a
variant made by `using()` never stands for the task.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from pgq_django.compat import InvalidTask, is_task
from pgq_django.exceptions import TaskGone
from pgq_django.task import options_of
from pgq_django.task_options import TaskOptions

log = logging.getLogger("pgq_django")

_paths: dict[str, None] = {}  # an ordered set


def note(task: Any) -> None:
    """Remember that a task of this path has been declared."""
    _paths.setdefault(task.module_path)


def unfit(task: Any, options: TaskOptions) -> str | None:
    """Why a task cannot be run by our worker, beyond what Django checks."""
    if task.func.__module__ == "__main__":
        return "Task function must not be defined in __main__: a worker could not import it."
    if options.atomic and iscoroutinefunction(task.func):
        return "atomic=True needs a plain function: Django has no async transactions."
    return options.problem


def check_path(task: Any) -> None:
    """The path must lead back to a task of the same function. Raises InvalidTask."""
    try:
        found = find(task.module_path)
    except TaskGone as error:
        raise InvalidTask(f"a worker could not run this task: {error}") from None
    if found.func is not task.func:
        raise InvalidTask(f"{task.module_path} is another task than the one enqueued")


def find(path: str) -> Any:
    """The Task at a module path. Raises TaskGone, and whatever importing its module raises."""
    module_path, _, name = path.rpartition(".")
    if not module_path or path.startswith("__main__"):
        raise TaskGone(f"{path!r} is no module path")
    try:
        module = importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        raise TaskGone(f"{path!r} cannot be imported: {error}") from error
    found = getattr(module, name, None)
    if not is_task(found):
        raise TaskGone(f"{path!r} is not a task (is it decorated with @task?)")
    return found


def serving(path: str) -> Any:
    """The Task at a path, or the one that stood there before it was renamed. Raises TaskGone."""
    try:
        return find(path)
    except TaskGone:
        import_tasks_modules()
        for task in known():
            if path in options_of(task).aliases:
                return task
        raise


def import_tasks_modules() -> dict[str, Exception]:
    """Import `tasks` of every app; an app whose module fails is reported, the others go on."""
    failures: dict[str, Exception] = {}
    for config in apps.get_app_configs():
        if not module_has_submodule(config.module, "tasks"):
            continue
        name = f"{config.name}.tasks"
        try:
            importlib.import_module(name)
        except Exception as error:
            failures[name] = error
            log.exception("%s cannot be imported; its jobs wait for a worker that can", name)
    return failures


def known() -> Iterator[Any]:
    """Every task declared so far."""
    for path in list(_paths):
        try:
            yield find(path)
        except Exception as error:  # noqa: BLE001  (declared in a module that failed later)
            log.debug("task %s: %s", path, error)
