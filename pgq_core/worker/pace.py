"""When to look at the database again."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

FIRST_LOOK = 0.005  # after work, an idle worker looks again this soon …
GROWTH = 1.5  # … then ever later, up to WorkerOptions.idle_look …
QUIET_LOOK = 0.25  # … and this late at least once no wake-up can have been missed
CROWD = 16  # jobs in one claim from which on the next may wait …
CROWD_LOOK = 0.008  # … this long, so that it brings more: every claim has its price …
CROWD_LOOKS = 2  # … and so many times that long when it brought as many times more
BUSY_LOOK = 0.1  # while there is plenty: claims alone will do, a look costs more than one
FULL_LOOK = 0.25  # while no slot is free


@dataclass
class Pace:
    """`hungry`: there may be jobs to claim at once. `backlog`: the last claim came back full, and
    there is room for more. `crowd`: it brought so many that the next one, a little later
    (`crowd_at`), will bring more unasked.

    `limited_at`: when to try for jobs under limits and keys. A claim needs free slots and hunger; a
    look (promotion, dead workers, cancellations, pause flags) happens when `next_look` has come,
    whatever else is going on.
    """

    idle_look: float
    hungry: bool = True
    backlog: bool = False
    crowd: bool = False
    crowd_at: float = math.inf
    limited_at: float = math.inf
    next_look: float = 0.0
    next_sweep: float = 0.0
    delay: float = FIRST_LOOK

    def gathering(self, now: float) -> bool:
        """Whether a crowd is let grow: nobody needs to ask for the claim that follows soon."""
        return now < self.crowd_at < math.inf

    def look_due(self, now: float) -> bool:
        """Whether the next look's time has come."""
        return now >= self.next_look and not self.gathering(now)

    def claim_due(self, now: float) -> bool:
        """Whether to claim, given a free slot."""
        return (self.hungry or now >= self.crowd_at) and not self.gathering(now)

    def reason(self, now: float) -> bool:
        """Whether there is anything to do right now, given a free slot."""
        return self.claim_due(now) or now >= self.next_reason(full=False)

    def next_reason(self, full: bool) -> float:
        """When there will be something to do without anybody asking for it."""
        if full:
            return self.next_look
        return min(self.limited_at, self.next_look if math.isinf(self.crowd_at) else self.crowd_at)

    def at_once(self) -> None:
        """Claim and look as soon as possible."""
        self.hungry, self.next_look, self.crowd_at = True, 0.0, math.inf

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
            self.hungry, self.crowd_at = False, math.inf
        if look:
            self.next_look = math.inf

    def claimed(self, got: int, free: int, look: bool, full: bool, quiet: bool = False) -> None:
        """After a claim of up to `free` brought `got`: at once again when full, else ever later,
        and sooner late when it is `quiet`: any job that comes now will wake us."""
        now = time.monotonic()
        began = free > 0 and got >= CROWD and not self.crowd  # the next look says we need no waking
        if free > 0:
            self.crowd = got >= CROWD
            wait = CROWD_LOOK * min(got // CROWD, CROWD_LOOKS)
            self.crowd_at = now + wait if self.crowd and not self.backlog else math.inf
        if free > 0 and full:
            self.hungry = True
        if got:
            self.delay = FIRST_LOOK
        elif look:
            least = QUIET_LOOK if quiet else 0.0  # others may die any time, which nobody tells
            self.delay = min(max(self.delay * GROWTH, least), self.idle_look)
        if free <= 0:
            pause = FULL_LOOK
        elif began and not self.backlog:
            pause = CROWD_LOOK
        elif self.backlog or self.crowd:
            pause = BUSY_LOOK
        else:
            pause = self.delay * random.uniform(1.0, 1.25)
        if look or began or not (self.backlog or self.crowd):
            self.no_later_than(now + pause)

    def swept(self, started: float) -> None:
        """Sweeps take at most a tenth of the time and are at least 5 ms apart."""
        now = time.monotonic()
        self.next_sweep = now + max(0.005, 9 * (now - started))
        if not self.crowd:  # else the next claim takes it along
            self.no_later_than(self.next_sweep + self.delay)
