"""A job ready to be written: every value checked and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pgq_core.errors import InvalidInput
from pgq_core.models.checks import check_choice, check_smallint, check_text
from pgq_core.models.encoding import encode_headers, encode_payload
from pgq_core.models.fellows import encode_after
from pgq_core.models.new_job import ON_DUPLICATE, ON_FAILURE, UNIQUE_WHILE, NewJob
from pgq_core.models.times import check_period, check_timeout, due_of
from pgq_core.options import MAX_PAYLOAD


class JobRow(NamedTuple):
    """A NewJob checked and encoded: the columns of one INSERT."""

    entrypoint: str
    payload: bytes | None
    priority: int
    queue: str
    run_at: datetime | None
    delay: float | None
    unique_key: str | None
    concurrency_key: str | None
    headers: str | None
    max_attempts: int | None
    timeout: float | None
    unique_for: float | None = None
    unique_while: str | None = None
    after: str | None = None
    on_failure: str | None = None
    replace: bool = False
    raises: bool = False


def row_of(
    job: NewJob,
    *,
    max_payload: int = MAX_PAYLOAD,
    fellows: Sequence[NewJob] = (),
    queue: str = "default",
    priority: int = 5,
) -> JobRow:
    """Check and encode a job. Raises InvalidInput naming the value and the way out.

    `fellows`: the jobs of the same call, in order; `after` may name them. `queue` and `priority`
    hold where the job names none.
    """
    if job.unique_key is None and (job.unique_for is not None or job.on_duplicate != "keep"):
        raise InvalidInput("unique_for= and on_duplicate= need a unique_key=")
    check_choice("on_failure", job.on_failure or "cancel", ON_FAILURE)
    check_choice("on_duplicate", job.on_duplicate, ON_DUPLICATE)
    check_choice("unique_while", job.unique_while, UNIQUE_WHILE)
    run_at, delay = due_of(job.run_at, job.delay)
    return JobRow(
        check_text("entrypoint", job.entrypoint),
        encode_payload(job.payload, max_payload),
        check_smallint("priority", priority if job.priority is None else job.priority),
        check_text("queue", queue if job.queue is None else job.queue),
        run_at,
        delay,
        None if job.unique_key is None else check_text("unique_key", job.unique_key),
        None if job.concurrency_key is None else check_text("concurrency_key", job.concurrency_key),
        encode_headers(job.headers),
        None if job.max_attempts is None else check_smallint("max_attempts", job.max_attempts, 1),
        check_timeout(job.timeout),
        check_period(job.unique_for),
        "waiting" if job.unique_while == "waiting" else None,
        encode_after(job.after, fellows),
        job.on_failure,
        job.on_duplicate == "replace",
        job.on_duplicate == "raise",
    )
