"""Errors and results as text that the database takes, whatever they are."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgq_core.errors import InvalidInput
from pgq_core.models import check_jsonb_text
from pgq_core.outcomes import (
    MAX_MESSAGE,
    MAX_TRACEBACK,
    Cancel,
    Retry,
    Snooze,
    clean,
    describe,
    describe_text,
    encode_result,
)


class Mute(Exception):
    """Its text cannot be read."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


class Fatal(Exception):
    """Reading its text ends the program."""

    def __str__(self) -> NoReturn:
        raise SystemExit(3)


def raised(error: BaseException) -> BaseException:
    """The error as it is after being raised, traceback and all."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  (handed back)
        return caught


def test_an_error_is_described() -> None:
    """An error is kept with its type, message and traceback."""
    fields = json.loads(describe(raised(ValueError("bad value"))))
    assert (fields["type"], fields["message"]) == ("builtins.ValueError", "bad value")
    assert "in raised" in fields["traceback"]


def test_the_cause_is_kept() -> None:
    """The traceback shows what an error was caused by."""
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        text = json.loads(describe(error))["traceback"]
    assert "first" in text
    assert "second" in text


@pytest.mark.parametrize(
    "error", [Mute(), Fatal(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration()]
)
def test_describing_never_raises(error: BaseException) -> None:
    """Any error can be described, even one whose text cannot be read."""
    fields = json.loads(describe(raised(error)))
    assert fields["type"].endswith(type(error).__qualname__)
    assert fields.keys() == {"type", "message", "traceback"}


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    """Whatever an error says, its description is something jsonb can hold."""
    described = describe_text("Error", text, text)
    check_jsonb_text("error", described)
    assert json.loads(described)["message"] == clean(text, MAX_MESSAGE)


@given(st.text(max_size=50), st.integers(10, 40))
def test_long_texts_keep_both_ends(text: str, limit: int) -> None:
    """A text that is too long keeps its beginning and its end, and says how much is missing."""
    plain = text.replace("\x00", "0").encode("utf-8", "replace").decode()
    short = clean(plain, limit)
    if len(plain) <= limit:
        assert short == plain
    else:
        assert short.startswith(plain[: limit // 2])
        assert short.endswith(plain[-(limit // 2) :])
        assert f"{len(plain) - limit} characters left out" in short


def test_a_huge_error_is_cut() -> None:
    """An error with megabytes of text takes a few kilobytes."""
    described = describe(raised(ValueError("x" * 5_000_000)))
    assert len(described) < 2 * (MAX_MESSAGE + MAX_TRACEBACK)


@pytest.mark.parametrize("value", [1, "text", [1, {"a": None}], {"a": 1.5}, False, "", 0, "𝄞"])
def test_results_are_json(value: Any) -> None:
    """A result that JSON can hold is kept."""
    text, problem = encode_result(value, 1000)
    assert problem is None
    assert text is not None
    assert json.loads(text) == value


def test_no_result() -> None:
    """Returning None keeps nothing."""
    assert encode_result(None, 1000) == (None, None)


class Odd(dict):  # type: ignore[type-arg]
    """A dict that cannot be walked."""

    def items(self) -> NoReturn:
        raise RuntimeError("not today")


def deep(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, math.nan, {"a": math.inf}, "\x00", {"\x00": 1}, "\ud800", Odd(a=1), b"x",
     deep(100_000), deep(600)],
    ids=["object", "set", "nan", "inf", "nul", "nul-key", "surrogate", "odd", "bytes", "deep",
         "rather deep"],
)  # fmt: skip
def test_what_json_cannot_hold(value: Any) -> None:
    """A result that cannot be kept is left out, and the job says why; it succeeded all the same."""
    text, problem = encode_result(value, 10_000)
    assert text is None
    assert problem is not None
    assert json.loads(problem)["type"] == "ResultNotStored"


def test_a_result_that_is_too_big() -> None:
    """A result above the limit is left out, and the job says how big it was."""
    text, problem = encode_result("x" * 100, 50)
    assert text is None
    assert "102 bytes, the limit is 50" in json.loads(problem or "")["message"]


@pytest.mark.parametrize("verdict", [Retry, Snooze])
@pytest.mark.parametrize(
    ("delay", "seconds"), [(5, 5.0), (0, 0.0), (0.5, 0.5), (timedelta(minutes=1), 60.0)]
)
def test_delays(verdict: Any, delay: Any, seconds: float) -> None:
    """Retry and Snooze take seconds or a timedelta."""
    assert verdict(delay).delay == seconds


@pytest.mark.parametrize("verdict", [Retry, Snooze])
@pytest.mark.parametrize(
    "delay", [-1, math.nan, math.inf, "5", timedelta(seconds=-1), 1e12, timedelta.max]
)
def test_wrong_delays(verdict: Any, delay: Any) -> None:
    """Retry and Snooze refuse a delay that is negative, endless or no number."""
    with pytest.raises(InvalidInput, match=rf"{verdict.__name__}\(.*from 0 to 100 years"):
        verdict(delay)


def test_verdicts_say_why() -> None:
    """A verdict's text is its reason."""
    assert str(Retry(5, "busy")) == "busy"
    assert str(Cancel("not needed")) == "not needed"
    assert Retry().delay is None
    assert all(str(verdict) for verdict in (Retry(), Snooze(1), Cancel()))
