"""How long to wait before the next attempt."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgq_core.errors import InvalidInput
from pgq_core.retries import Backoff, delay_after


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
    [{"initial": -1}, {"factor": 0.5}, {"maximum": -1}, {"jitter": -0.1}, {"jitter": 1.1}],
)
def test_a_rule_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    """A backoff with a negative pause, a shrinking factor or too much jitter is refused."""
    with pytest.raises(InvalidInput, match="no backoff"):
        Backoff(**wrong)


@pytest.mark.parametrize(
    ("rule", "delay"),
    [(7, 7.0), (0.5, 0.5), (-1, 0.0), (lambda n: n * 10, 30.0), (Backoff(1, 2, 9, 0), 4.0)],
)
def test_every_kind_of_rule(rule: Any, delay: float) -> None:
    """A rule is a Backoff, a number, or a function of the failures so far."""
    assert delay_after(rule, 3) == delay
