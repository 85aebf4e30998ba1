"""Every option once: what an entrypoint can be told, what a worker can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pgq_core.errors import InvalidInput
from pgq_core.retries import LONGEST, Backoff, BackoffRule, check_backoff

MAX_PAYLOAD = 1024 * 1024
MAX_RESULT = 64 * 1024
MOST = 2**31 - 1  # PostgreSQL's integer

Age = float | timedelta | None  # how long history is kept: seconds, a timedelta, for ever
WEEK, MONTH, OLDEST = timedelta(days=7), timedelta(days=30), timedelta(days=36500)


@dataclass(frozen=True)
class Rate:
    """At most `count` starts in any `period` seconds, evenly spaced; `burst` may come at once.

    `per_key`: so many of each concurrency key, instead of all jobs together.
    """

    count: int
    period: float
    burst: int = 1
    per_key: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.burst <= self.count <= MOST or not 0 < self.period <= LONGEST / self.burst:
            raise InvalidInput(
                f"{self}: give a count up to {MOST:,}, a burst from 1 to the count, and a period "
                "above 0; as many periods as the burst are at most a hundred years"
            )

    @classmethod
    def parse(cls, text: str) -> Rate:
        """ "100/m", "5/s", "10/30s"; "100/m burst 10", "10/m per key". Raises InvalidInput."""
        found = re.fullmatch(
            r"\s*(\d+)\s*/\s*(\d*)\s*([smhd])(?:\s+burst\s+(\d+))?(\s+per\s+key)?\s*", text
        )
        if found is None or not int(found[1]) or found[2] == "0":
            raise InvalidInput(
                f"rate_limit={text!r}: give starts per time, as in '100/m', '5/s' or '10/30s', "
                "and if you like 'burst 10', 'per key' behind it"
            )
        unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[3]]
        period = float(int(found[2] or 1) * unit)
        return cls(int(found[1]), period, int(found[4] or 1), found[5] is not None)


@dataclass(frozen=True)
class EntrypointOptions:
    """How the jobs of one entrypoint are run. Times are seconds."""

    queue: str = "default"
    priority: int = 5
    max_attempts: int = 5
    backoff: BackoffRule = field(default_factory=Backoff)
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    no_retry_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    transactional: bool = False
    concurrency_limit: int | None = None
    rate_limit: str | Rate | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 32767:
            raise InvalidInput(f"max_attempts={self.max_attempts!r}: give a number from 1 to 32767")
        check_backoff(self.backoff)
        for name in ("retry_on", "no_retry_on"):
            if not all(isinstance(kind, type) for kind in getattr(self, name)):
                raise InvalidInput(f"{name}={getattr(self, name)!r}: give exception classes")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidInput(f"timeout={self.timeout!r}: give seconds above 0, or None")
        if self.concurrency_limit is not None and not 1 <= self.concurrency_limit <= MOST:
            raise InvalidInput(
                f"concurrency_limit={self.concurrency_limit!r}: give a number from 1 to {MOST:,}"
            )
        if isinstance(self.rate_limit, str):
            object.__setattr__(self, "rate_limit", Rate.parse(self.rate_limit))
        elif self.rate_limit is not None and not isinstance(self.rate_limit, Rate):
            raise InvalidInput(f"rate_limit={self.rate_limit!r}: give a str as '100/m', or a Rate")

    @property
    def rate(self) -> Rate | None:
        """The rate limit, parsed."""
        return self.rate_limit if isinstance(self.rate_limit, Rate) else None


@dataclass(frozen=True)
class WorkerOptions:
    """How one worker process runs. Times are seconds.

    `keep_…`: how long finished jobs are kept by their outcome, seconds or a timedelta; None: for
    ever. With `prune=False` this worker deletes nothing.
    """

    concurrency: int = 100
    queues: Sequence[str] | Mapping[str, int] | None = None
    batch_size: int | None = None
    shutdown_timeout: float = 30.0
    until_empty: bool = False
    lease: float = 15.0
    listen: bool = True
    listen_dsn: str | None = None
    threads: int | None = None
    idle_look: float = 0.85
    prune: bool = True
    keep_succeeded: Age = WEEK
    keep_failed: Age = MONTH
    keep_cancelled: Age = WEEK
    schedules: bool = True
    max_jobs: int | None = None
    floor_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "batch_size", "threads", "max_jobs"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST:
                raise InvalidInput(f"{name}={value!r}: give a number from 1 to {MOST:,}")
        if not 0 <= self.floor_share <= 0.5:
            raise InvalidInput(f"floor_share={self.floor_share!r}: give a share from 0 to 0.5")
        if not 1 <= self.lease <= LONGEST:
            raise InvalidInput(f"lease={self.lease!r}: give at least 1 second, at most 100 years")
        if not 0 < self.idle_look <= 3600:
            raise InvalidInput(f"idle_look={self.idle_look!r}: give seconds, at most an hour")
        if not self.shutdown_timeout >= 0:
            raise InvalidInput(f"shutdown_timeout={self.shutdown_timeout!r}: give seconds >= 0")
        if isinstance(self.queues, str):
            raise InvalidInput(f"queues={self.queues!r}: give a list, as in [{self.queues!r}]")
        if not all(isinstance(queue, str) for queue in self.queues or ()):
            raise InvalidInput(f"queues={self.queues!r}: give names")
        if isinstance(self.queues, Mapping) and min(self.queues.values(), default=0) < 1:
            raise InvalidInput(f"queues={self.queues!r}: give names with at least one slot each")
        check_age("keep_succeeded", self.keep_succeeded)
        check_age("keep_failed", self.keep_failed)
        check_age("keep_cancelled", self.keep_cancelled)


def check_age(name: str, value: Age) -> timedelta | None:
    """Seconds as a timedelta; None: for ever. Raises InvalidInput."""
    if value is None:
        return None
    try:
        age = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (TypeError, ValueError, OverflowError):
        age = -OLDEST
    if not timedelta(0) <= age <= OLDEST:
        raise InvalidInput(
            f"{name}={value!r}: give seconds or a timedelta, from 0 to 100 years, or None: for ever"
        )
    return age
