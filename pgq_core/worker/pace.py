"""When to look at the database again."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

FIRST_LOOK = 0.005  # after work, an idle worker looks again this soon …
GROWTH = 1.5  # … then ever later, up to WorkerOptions.idle_look
CROWD = 16  # jobs in one claim from which on the next may wait …
CROWD_LOOK = 0.008  # … this long, so that it brings more: every claim has its price
BUSY_LOOK = 0.05  # while claims come back full
FULL_LOOK = 0.25  # while no slot is free


@dataclass
class Pace:
    """`hungry`: there may be jobs to claim at once. `backlog`: the last claim came back full.
    `crowd`: it brought so many that the next one, a little later, will bring more unasked.

    `limited_at`: when to try for jobs under limits and keys. A claim needs free slots and hunger; a
    look (promotion, dead workers, cancellations, pause flags) happens when `next_look` has come,
    whatever else is going on.
    """

    idle_look: float
    hungry: bool = True
    backlog: bool = False
    crowd: bool = False
    limited_at: float = math.inf
    next_look: float = 0.0
    next_sweep: float = 0.0
    delay: float = FIRST_LOOK

    def look_due(self, now: float) -> bool:
        """Whether the next look's time has come."""
        return now >= self.next_look

    def at_once(self) -> None:
        """Claim and look as soon as possible."""
        self.hungry, self.next_look = True, 0.0

    def reason(self, now: float) -> bool:
        """Whether there is anything to do right now, given a free slot."""
        return self.hungry or now >= min(self.next_look, self.limited_at)

    def limited_soon(self, moment: float = 0.0) -> None:
        """Try for jobs under limits and keys at that moment at the latest."""
        self.limited_at = min(self.limited_at, moment)

    def no_later_than(self, moment: float) -> None:
        """Look at that moment at the latest."""
        self.next_look = min(self.next_look, moment)

    def stir(self) -> None:
        """Something has happened: look again soon, and begin anew with short pauses."""
        self.delay = FIRST_LOOK
        self.no_later_than(time.monotonic() + FIRST_LOOK)

    def claiming(self, free: int, look: bool) -> None:
        """A claim goes out: whatever we hear from now on asks for the next one."""
        if free > 0:
            self.hungry = False
        if look:
            self.next_look = math.inf

    def claimed(self, got: int, free: int, look: bool, full: bool) -> None:
        """After a claim of up to `free` brought `got`: at once again when full, else ever later."""
        now = time.monotonic()
        if free > 0:
            self.crowd = got >= CROWD
        if free > 0 and full:
            self.hungry = True
        if got:
            self.delay = FIRST_LOOK
        elif look:
            self.delay = min(self.delay * GROWTH, self.idle_look)
        if free <= 0:
            pause = FULL_LOOK
        elif self.backlog:
            pause = BUSY_LOOK
        elif self.crowd:
            pause = CROWD_LOOK
        else:
            pause = self.delay * random.uniform(1.0, 1.3)
        if look or not self.backlog:
            self.no_later_than(now + pause)

    def swept(self, started: float) -> None:
        """Sweeps take at most a tenth of the time and are at least 5 ms apart."""
        now = time.monotonic()
        self.next_sweep = now + max(0.005, 9 * (now - started))
        self.no_later_than(self.next_sweep + self.delay)
