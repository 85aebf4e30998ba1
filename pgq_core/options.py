"""Every option once: what an entrypoint can be told, what a worker can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pgq_core.errors import InvalidInput
from pgq_core.retries import Backoff, BackoffRule

MAX_PAYLOAD = 1024 * 1024
MAX_RESULT = 64 * 1024


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
    rate_limit: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 32767:
            raise InvalidInput(f"max_attempts={self.max_attempts!r}: give a number from 1 to 32767")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidInput(f"timeout={self.timeout!r}: give seconds above 0, or None for no limit")


@dataclass(frozen=True)
class WorkerOptions:
    """How one worker process runs. Times are seconds."""

    concurrency: int = 100
    queues: Sequence[str] | Mapping[str, int] | None = None
    batch_size: int | None = None
    shutdown_timeout: float = 30.0
    until_empty: bool = False
    lease: float = 15.0
    listen: bool = True
    threads: int | None = None
    idle_look: float = 0.75
    prune: bool = True
    schedules: bool = True
    max_jobs: int | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "batch_size", "threads", "max_jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name}={value!r}: give a number from 1 on")
        if self.lease < 1:
            raise InvalidInput(f"lease={self.lease!r}: give at least 1 second")
        if self.shutdown_timeout < 0:
            raise InvalidInput(f"shutdown_timeout={self.shutdown_timeout!r}: give seconds >= 0")
        if isinstance(self.queues, str):
            raise InvalidInput(f"queues={self.queues!r}: give a list of names, as in [{self.queues!r}]")
