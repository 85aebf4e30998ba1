"""A task's arguments: checked before any SQL, and named when they cannot be stored."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pgq_django.compat import normalize_json
from pgq_django.exceptions import InvalidArgument

Arguments = tuple[list[Any], dict[str, Any]]


def normalized(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Arguments:
    """The arguments as JSON gives them back. Raises InvalidArgument (a TypeError, a ValueError)."""
    names = argument_names(func, len(args))
    return (
        [storable(name, value) for name, value in zip(names, args, strict=True)],
        {str(key): storable(str(key), value) for key, value in kwargs.items()},
    )


def argument_names(func: Callable[..., Any], count: int) -> Iterator[str]:
    """The names of the first positional parameters; beyond them, `argument 3`."""
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if parameters and parameters[0].name == "context":
        parameters = parameters[1:]
    for index in range(count):
        known = index < len(parameters) and parameters[index].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        yield parameters[index].name if known else f"argument {index + 1}"


def storable(name: str, value: Any) -> Any:
    """The value as it will be read back from the database."""
    try:
        plain = normalize_json(value)
        for path, leaf in leaves(name, plain):
            problem = trouble(leaf)
            if problem:
                raise InvalidArgument(f"{path}={shown(leaf)}: {problem}")
        return json.loads(json.dumps(plain))
    except InvalidArgument:
        raise
    except RecursionError:
        raise InvalidArgument(f"{name} is nested too deeply to be stored; flatten it") from None
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{name}={shown(value)}: {error}; {hint(value)}") from None


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every plain value in a JSON document, keys included, with where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"a key of {path}", key
            yield from leaves(f"{path}[{key!r}]", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(f"{path}[{index}]", inner)
    else:
        yield path, value


def trouble(leaf: Any) -> str | None:
    """Why PostgreSQL's JSON would refuse a value that json.dumps writes."""
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return "JSON has no NaN and no infinity; give None or a str"
    if isinstance(leaf, str):
        if "\x00" in leaf:
            return "PostgreSQL cannot hold a NUL character; remove it"
        if not leaf.isascii() and any("\ud800" <= char <= "\udfff" for char in leaf):
            return "this is no valid Unicode text (a lone surrogate); repair it"
    return None


def hint(value: Any) -> str:
    """What to pass instead."""
    if hasattr(value, "_meta") and hasattr(value, "pk"):
        return "pass its primary key and load it in the task"
    if hasattr(value, "isoformat"):
        return "pass value.isoformat()"
    return "pass str, int, float, bool, None, lists and dicts of them"


def shown(value: Any) -> str:
    """A short repr that never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (somebody else's __repr__)
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."
