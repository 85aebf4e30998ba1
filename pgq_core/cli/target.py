"""MODULE:OBJECT, from words to a PgQueuer."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.errors import InvalidInput

HINT = "give MODULE:OBJECT, as in myapp.jobs:pgq"


class BadTarget(InvalidInput):
    """MODULE:OBJECT names nothing that could be run."""


def load(target: str) -> Any:
    """Import the module, with the current directory on the path, and fetch the object."""
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise BadTarget(f"{target!r}: {HINT}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = import_module(target, module_name)
    try:
        return functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        known = [name for name, value in vars(module).items() if isinstance(value, PgQueuer)]
        hint = f"; it has {', '.join(known)}" if known else ""
        raise BadTarget(f"{target!r}: module {module_name!r} has no {path!r}{hint}") from None


def import_module(target: str, name: str) -> Any:
    """The module. What its own code raises is told with the place."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            where = f"in {Path.cwd()} or on the path"
            raise BadTarget(f"{target!r}: no module {missing!r} {where}; {HINT}") from None
        raise BadTarget(f"{target!r}: importing {name!r} failed: {described(error)}") from error


async def registry_of(found: Any, target: str, stack: AsyncExitStack) -> PgQueuer:
    """The object, or what it returns when it is called: a PgQueuer, awaited or entered."""
    if not isinstance(found, PgQueuer):
        if not callable(found) or isinstance(found, type):
            raise BadTarget(f"{target!r} is a {kind_of(found)}; it must be a PgQueuer, or a "
                            "function without arguments that returns one")  # fmt: skip
        found = await called(found, target, stack)
    if not isinstance(found, PgQueuer):
        raise BadTarget(f"{target!r} returned a {kind_of(found)}; it must return a PgQueuer")
    if not found.registry.entrypoints:
        raise BadTarget(f"{target!r} has no entrypoints; register some with @pgq.entrypoint(…)")
    return found


async def called(factory: Any, target: str, stack: AsyncExitStack) -> Any:
    """What a factory makes; a context manager stays open as long as the stack."""
    try:
        made = factory()
        if inspect.isawaitable(made):
            made = await made
        if hasattr(made, "__aenter__"):
            made = await stack.enter_async_context(made)
    except (Exception, SystemExit) as error:
        raise BadTarget(f"{target!r}: calling it failed: {described(error)}") from error
    return made


def kind_of(found: Any) -> str:
    """Its type, or that it is a class."""
    return f"class {found.__name__}" if isinstance(found, type) else type(found).__name__


def described(error: BaseException) -> str:
    """Type, message, and the last line of the user's that was reached."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return text  # says its place itself
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent)
    theirs = [f for f in frames if not f.filename.startswith((here, "<frozen"))]
    theirs = [f for f in theirs if Path(f.filename) != Path(importlib.__file__)]
    return f"{text} ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else text
