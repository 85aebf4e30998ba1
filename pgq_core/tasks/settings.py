"""The options of entrypoints and of jobs, in the form type checkers know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from pgq_core.models import NewJob
from pgq_core.options import Rate
from pgq_core.retries import BackoffRule

Errors = type[BaseException] | Sequence[type[BaseException]]


class EntrypointSettings(TypedDict, total=False):
    """What `pgq.entrypoint` takes besides name and aliases."""

    queue: str
    priority: int
    max_attempts: int
    backoff: BackoffRule | None
    retry_on: Errors
    no_retry_on: Errors
    timeout: float | None
    transactional: bool
    concurrency_limit: int | None
    rate_limit: str | Rate | None


class JobSettings(TypedDict, total=False):
    """What a `NewJob` takes besides entrypoint and payload. None: as if it were not given."""

    priority: int | None
    queue: str | None
    delay: float | timedelta | None
    run_at: datetime | timedelta | None
    unique_key: str | None
    concurrency_key: str | None
    headers: Mapping[str, Any] | None
    max_attempts: int | None
    timeout: float | None
    unique_for: float | timedelta | None
    unique_while: str
    on_duplicate: str
    after: Sequence[int | NewJob]
    on_failure: str | None
