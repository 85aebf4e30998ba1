"""What a task's function asks for: its annotations, evaluated and checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, get_type_hints

from pgq_core.errors import InvalidInput
from pgq_core.models import Job
from pgq_core.worker.context import Context

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
Injected = type[Context] | type[Job]


def hints_of(task: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' annotations, evaluated. Raises InvalidInput naming what cannot be read."""
    plain = inspect.unwrap(function)
    given = dict(getattr(plain, "__annotations__", {}))
    given.pop("return", None)  # a job's result needs no type
    try:
        return get_type_hints(
            SimpleNamespace(__annotations__=given),
            globalns=getattr(plain, "__globals__", {}),
            include_extras=True,
        )
    except NameError as error:
        raise InvalidInput(
            f"task {task!r}: an annotation cannot be read ({error}); import or define the name at "
            "the top of the module, above the task, not under TYPE_CHECKING"
        ) from None


def injection(parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any]) -> Injected | None:
    """What the first parameter wants handed in when the job runs."""
    hint = hints.get(parameters[0].name) if parameters else None
    if isinstance(hint, type) and issubclass(hint, Context):
        return Context
    return Job if isinstance(hint, type) and issubclass(hint, Job) else None


def check_parameters(task: str, parameters: Sequence[inspect.Parameter]) -> None:
    """Refuse *args and **kwargs: a payload names every parameter."""
    for parameter in parameters:
        if parameter.kind in VARIADIC:
            raise InvalidInput(
                f"task {task!r}: {parameter} cannot be checked; name every parameter, or take one "
                "that is a list or a dict"
            )
