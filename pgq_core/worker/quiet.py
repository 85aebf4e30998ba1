"""Whether a wake-up can have been missed."""

from __future__ import annotations

import time

GATE = 0.03  # producers are silent for 20 ms after a wake-up has arrived, which takes a moment


class Quiet:
    """Whether a job can be there, or come, that neither a look has seen nor anybody will tell.

    A producer is silent when it found no idle worker, or one that was woken a moment ago. Once our
    flag is up and that moment is over, only transactions that had begun to write by then can still
    bring such a job. A look names the transaction id that comes next, which theirs are below; when
    the oldest that is open is not, they have all ended, and what they brought has been seen.
    """

    def __init__(self) -> None:
        self._gate_until = 0.0
        self._below: int | None = None

    def heard(self) -> None:
        """A wake-up has arrived: producers are silent for a moment."""
        self._gate_until, self._below = time.monotonic() + GATE, None

    def broken(self) -> None:
        """Our flag is down, or a look has not seen all."""
        self._below = None

    def after(self, began: float, oldest: int, following: int) -> bool:
        """After a look with the flag up that began then: whether nothing can have been missed."""
        if began < self._gate_until:
            return False
        if self._below is None:
            self._below = following
        return oldest >= self._below
