"""How long to wait before the next attempt."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from pgq_core.errors import InvalidInput

LONGEST = 3.2e9  # seconds, a hundred years: whatever asks for more waits that long


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff: `initial * factor ** (n - 1)` seconds after the n-th failure, at most
    `maximum`, and never more than a hundred years.

    `jitter` spreads the delay evenly over ± that fraction, so that jobs which failed together do
    not come back together.
    """

    initial: float = 2.0
    factor: float = 4.0
    maximum: float = 3600.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if not (
            0 <= self.initial < math.inf
            and 1 <= self.factor < math.inf
            and self.maximum >= 0
            and 0 <= self.jitter <= 1
        ):
            raise InvalidInput(
                f"{self} is no backoff: initial and maximum are seconds >= 0, factor >= 1, "
                "jitter between 0 and 1"
            )

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` failed attempts (1 for the first)."""
        plain = min(self.maximum, self._uncapped(failures))
        return min(LONGEST, plain * random.uniform(1 - self.jitter, 1 + self.jitter))

    def _uncapped(self, failures: int) -> float:
        if self.initial == 0:
            return 0.0
        try:
            return float(self.initial * self.factor ** (failures - 1))
        except OverflowError:
            return math.inf


BackoffRule = Backoff | float | int | Callable[[int], float]


def check_backoff(rule: BackoffRule) -> None:
    """Raise InvalidInput for what is no rule."""
    if isinstance(rule, Backoff) or callable(rule):
        return
    if isinstance(rule, bool) or not isinstance(rule, (int, float)) or not rule >= 0:
        raise InvalidInput(
            f"backoff={rule!r}: give seconds >= 0, a Backoff, or a function of the failures so far"
        )


def delay_after(rule: BackoffRule, failures: int) -> float:
    """Seconds to wait under a rule: a Backoff, a fixed number, or a function of the failures.

    Less than none is none, more than a hundred years is a hundred years. Raises InvalidInput for
    NaN, and what the function raises.
    """
    if isinstance(rule, Backoff):
        return rule.delay(failures)
    try:
        seconds = float(rule(failures) if callable(rule) else rule)
    except OverflowError:  # 10 ** 400, say
        return LONGEST
    if math.isnan(seconds):
        raise InvalidInput("the backoff gave NaN; give seconds")
    return min(LONGEST, max(0.0, seconds))
