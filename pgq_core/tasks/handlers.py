"""From a task to a handler: payload in, JSON-able result out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pgq_core.models import Job
from pgq_core.registry import is_async
from pgq_core.tasks.task import Task
from pgq_core.worker.context import Context


def handler_of(task: Task[..., Any]) -> Callable[[Job, Context], Any]:
    """The handler that the registry runs: on the loop or in a thread, as the function would."""
    if is_async(task.function):

        async def run_async(job: Job, context: Context) -> Any:
            return jsonable(await task.start(job, context))

        return run_async

    def run(job: Job, context: Context) -> Any:
        return jsonable(task.start(job, context))

    return run


def jsonable(value: Any) -> Any:
    """Models, dataclasses, dates and the like as JSON can hold them; what cannot be, as it is."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415

    if inspect.isawaitable(value):
        return value
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return value  # the executor says that it cannot be stored
