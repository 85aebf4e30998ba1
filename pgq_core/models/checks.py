"""Words and numbers: what PostgreSQL can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgq_core.errors import InvalidInput


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words."""
    if value not in choices:
        raise InvalidInput(f"{name}={value!r}: give one of {', '.join(map(repr, choices))}")
    return str(value)


def check_text(name: str, value: Any) -> str:
    """A non-empty text PostgreSQL can hold, at most 1,000 bytes."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name}={value!r}: give a str, not {type(value).__name__}")
    if not value:
        raise InvalidInput(f"{name}='': give a name that is not empty")
    if "\x00" in value:
        raise InvalidInput(f"{name}={value!r}: PostgreSQL texts cannot hold NUL; remove it")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name}={value!r} is no valid text: {error}; replace it") from None
    if size > 1000:
        raise InvalidInput(f"{name} is {size} bytes long; 1000 are allowed: hash or shorten it")
    return value


def check_smallint(name: str, value: Any, lowest: int = -32768) -> int:
    """An integer that fits PostgreSQL's smallint."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name}={value!r}: give an int, not {type(value).__name__}")
    if not lowest <= value <= 32767:
        raise InvalidInput(f"{name}={value!r}: give a number from {lowest} to 32767")
    return int(value)
