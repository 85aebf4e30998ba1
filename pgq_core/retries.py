"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pgq_core.errors import InvalidInput


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff: `initial * factor ** (n - 1)` seconds after the n-th failure, capped.

    `jitter` spreads the delay evenly over ± that fraction, so that jobs which failed together do
    not come back together.
    """

    initial: float = 2.0
    factor: float = 4.0
    maximum: float = 3600.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.initial < 0 or self.factor < 1 or self.maximum < 0 or not 0 <= self.jitter <= 1:
            raise InvalidInput(
                f"{self} is no backoff: initial and maximum are seconds >= 0, factor >= 1, "
                "jitter between 0 and 1"
            )

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` failed attempts (1 for the first)."""
        # The exponent is capped so that a job retried for ever cannot overflow a float.
        plain = min(self.maximum, self.initial * self.factor ** min(failures - 1, 64))
        return plain * random.uniform(1 - self.jitter, 1 + self.jitter)


BackoffRule = Backoff | float | int | Callable[[int], float]


def delay_after(rule: BackoffRule, failures: int) -> float:
    """Seconds to wait under a rule: a Backoff, a fixed number, or a function of the failures."""
    if isinstance(rule, Backoff):
        return rule.delay(failures)
    return max(0.0, float(rule(failures) if callable(rule) else rule))
