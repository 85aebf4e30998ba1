"""What an attempt decided, as a value; and the exceptions by which a handler decides itself."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.models import Job, check_jsonb_text
from pgq_core.retries import LONGEST

MAX_MESSAGE = 4000
MAX_TRACEBACK = 16000


def seconds_of(name: str, delay: float | timedelta) -> float:
    """A delay in seconds. Raises InvalidInput when it is negative, endless or no number."""
    value = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not isinstance(value, (int, float)) or not 0 <= value <= LONGEST:
        raise InvalidInput(f"{name}({delay!r}): give seconds from 0 to 100 years, or a timedelta")
    return float(value)


class Retry(Exception):
    """Raise it to try again after `delay` seconds (None: the entrypoint's backoff)."""

    def __init__(self, delay: float | timedelta | None = None, reason: str = "") -> None:
        self.delay = None if delay is None else seconds_of("Retry", delay)
        super().__init__(reason or "the handler asked for a retry")


class Snooze(Exception):
    """Raise it to run again after `delay` seconds without spending an attempt."""

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        self.delay = seconds_of("Snooze", delay)
        super().__init__(reason or "the handler asked to be run later")


class Cancel(Exception):
    """Raise it to end the job as cancelled, for the reason given."""

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(slots=True)
class Outcome:
    """The verdict on one attempt, ready to be written."""

    job: Job
    kind: str
    error: str | None = None
    result: str | None = None
    delay: float = 0.0
    spent: int = 0
    crashes: int = 0


def clean(text: str, limit: int) -> str:
    """Text PostgreSQL can store: no NUL, no lone surrogates, at most `limit` characters."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def describe(error: BaseException) -> str:
    """An exception as JSON text: type, message, traceback. Never raises, whatever str() does."""
    try:
        message = str(error)
    except BaseException as broken:  # noqa: BLE001  (whatever str() raises)
        message = f"<its message could not be read: {type(broken).__name__}>"
    try:
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except BaseException:  # noqa: BLE001
        trace = "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__
    kind = type(error)
    return describe_text(f"{kind.__module__}.{kind.__qualname__}", message, trace)


def describe_text(kind: str, message: str, trace: str = "") -> str:
    """An error of our own as JSON text, in the shape `describe` gives."""
    fields = {"type": clean(kind, 500), "message": clean(message, MAX_MESSAGE)}
    if trace:
        fields["traceback"] = clean(trace, MAX_TRACEBACK)
    return json.dumps(fields)


def encode_result(value: Any, limit: int) -> tuple[str | None, str | None]:
    """A return value as JSON text, or None and why it cannot be kept; the job succeeded anyway."""
    if value is None:
        return None, None
    try:
        text = json.dumps(value, allow_nan=False)
        check_jsonb_text("result", text)
    except Exception as error:  # noqa: BLE001  (a result may raise anything when it is written)
        return None, describe_text(
            "ResultNotStored", f"the job succeeded, but its result is no JSON: {error}"
        )
    if len(text) > limit:
        return None, describe_text(
            "ResultNotStored",
            f"the job succeeded, but its result has {len(text)} bytes, the limit is {limit}",
        )
    return text, None
