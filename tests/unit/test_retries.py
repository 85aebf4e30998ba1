"""How long to wait before the next attempt."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgq_core.errors import InvalidInput
from pgq_core.options import EntrypointOptions
from pgq_core.retries import LONGEST, Backoff, delay_after


def test_the_pause_grows() -> None:
    """By default the pause is 2, 8, 32, … seconds, at most an hour, ± a quarter."""
    for failures, plain in ((1, 2), (2, 8), (3, 32), (4, 128), (5, 512), (6, 2048), (7, 3600)):
        assert plain * 0.75 <= Backoff().delay(failures) <= plain * 1.25


def test_without_jitter_it_is_exact() -> None:
    """Without jitter the pause is the same every time."""
    rule = Backoff(initial=1, factor=3, maximum=20, jitter=0)
    assert [rule.delay(n) for n in (1, 2, 3, 4)] == [1, 3, 9, 20]


@given(
    st.floats(0, 1e6), st.floats(1, 100), st.floats(0, 1e9), st.floats(0, 1),
    st.integers(1, 32767),
)  # fmt: skip
def test_never_negative_never_beyond(
    initial: float, factor: float, maximum: float, jitter: float, failures: int
) -> None:
    """The pause is never negative, never above the maximum plus its jitter, and never overflows."""
    delay = Backoff(initial, factor, maximum, jitter).delay(failures)
    assert 0 <= delay <= maximum * (1 + jitter)
    assert math.isfinite(delay)


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": -1}, {"factor": 0.5}, {"maximum": -1}, {"jitter": -0.1}, {"jitter": 1.1},
        {"initial": math.nan}, {"initial": math.inf}, {"factor": math.nan}, {"factor": math.inf},
        {"maximum": math.nan}, {"jitter": math.nan},
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    """A backoff with a negative pause, a shrinking factor, too much jitter or NaN is refused."""
    with pytest.raises(InvalidInput, match="no backoff"):
        Backoff(**wrong)


@pytest.mark.parametrize(
    ("rule", "delay"),
    [(7, 7.0), (0.5, 0.5), (-1, 0.0), (lambda n: n * 10, 30.0), (Backoff(1, 2, 9, 0), 4.0)],
)
def test_every_kind_of_rule(rule: Any, delay: float) -> None:
    """A rule is a Backoff, a number, or a function of the failures so far."""
    assert delay_after(rule, 3) == delay


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(math.inf, id="inf"),
        pytest.param(1e18, id="1e18"),
        pytest.param(10**400, id="integer"),
        pytest.param(lambda _: math.inf, id="function"),
        pytest.param(lambda n: 10 ** (n * 1000), id="function, integer"),
        pytest.param(lambda n: 2.0 ** (n * 1000), id="function that overflows"),
        pytest.param(Backoff(maximum=math.inf, factor=1e300), id="factor"),
        pytest.param(Backoff(10**30, 10**30, 10**400), id="integers"),
    ],
)
def test_a_pause_of_more_than_a_hundred_years(rule: Any) -> None:
    """A pause that PostgreSQL could not hold is a hundred years."""
    assert delay_after(rule, 3) == LONGEST


def test_after_many_failures_the_pause_is_the_maximum() -> None:
    """However slowly the pause grows, it reaches its maximum and stays there."""
    assert Backoff(factor=1.01, maximum=60, jitter=0).delay(32767) == 60
    assert Backoff(factor=10, maximum=60, jitter=0).delay(32767) == 60
    assert Backoff(initial=0, factor=1e300).delay(32767) == 0


def test_a_function_that_gives_nan() -> None:
    """A pause of NaN is an error, not a job that is retried at once for ever."""
    with pytest.raises(InvalidInput, match="NaN"):
        delay_after(lambda _: math.nan, 1)


@pytest.mark.parametrize("rule", [-1, math.nan, "5", True, None, [1, 2]])
def test_what_is_no_backoff(rule: Any) -> None:
    """An entrypoint's backoff that is no rule is refused when it is registered."""
    with pytest.raises(InvalidInput, match="backoff="):
        EntrypointOptions(backoff=rule)


@pytest.mark.parametrize("rule", [0, 2.5, math.inf, len, Backoff()])
def test_what_is_a_backoff(rule: Any) -> None:
    """Seconds, a function and a Backoff are rules."""
    assert EntrypointOptions(backoff=rule).backoff is rule
