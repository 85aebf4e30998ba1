"""From database rows to plain data and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from pgq_core.errors import DuplicateJob, InvalidInput
from pgq_core.models import Attempt, EnqueuedJob, Job, JobRow, JobState, NewJob
from pgq_core.models.encoding import check_depth

log = logging.getLogger("pgq_core.queries")


def decoded(text: Any) -> Any:
    """A jsonb value: asyncpg gives text unless the user set a codec of their own."""
    return json.loads(text) if isinstance(text, str) else text


def headers_of(job_id: int, text: Any) -> dict[str, Any]:
    """A job's headers. What only SQL could write and no handler can read is left out, and told."""
    try:
        if isinstance(text, str):
            check_depth("headers", text)
        headers = decoded(text) or {}
    except (InvalidInput, RecursionError):
        log.error("job %d: its headers are nested too deeply to be read; left out", job_id)
        return {}
    if not isinstance(headers, dict):
        log.error("job %d: its headers are no object but %.100r; left out", job_id, headers)
        return {}
    return headers


def job_from_view(row: Any) -> Job:
    """A row of pgq_job_states."""
    return Job(
        id=row["id"],
        queue=row["queue"],
        entrypoint=row["entrypoint"],
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        payload=row["payload"] or b"",
        headers=headers_of(row["id"], row["headers"]),
        created_at=row["created_at"],
        run_at=row["run_at"],
        state=JobState(row["state"]),
        timeout=row["timeout"],
        unique_key=row["unique_key"],
        concurrency_key=row["concurrency_key"],
        result=decoded(row["last_result"]),
        error=decoded(row["last_error"]),
        started_at=row["last_started_at"],
        finished_at=row["last_finished_at"],
    )


def attempt_from_row(row: Any) -> Attempt:
    """A row of pgq_attempts."""
    job_id, attempt, outcome, worker_id, started_at, finished_at, error, result = row
    return Attempt(
        job_id,
        attempt,
        outcome,
        worker_id,
        started_at,
        finished_at,
        decoded(error),
        decoded(result),
    )


def columns(rows: Sequence[JobRow]) -> dict[str, list[Any]]:
    """The arguments of enqueue.sql. A column that says nothing is empty: unnest() fills it up with
    NULL, and no driver need write thousands of them."""
    names = (
        "entrypoints", "payloads", "priorities", "queues", "run_ats", "delays", "unique_keys",
        "concurrency_keys", "headers", "max_attempts", "timeouts", "unique_fors", "unique_whiles",
        "afters", "on_failures", "replaces", "raises",
    )  # fmt: skip
    return {
        name: [] if silent(values) else list(values)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def silent(values: Sequence[Any]) -> bool:
    """Whether a column holds nothing but None, or nothing but False."""
    first = values[0]
    return (first is None or first is False) and values.count(first) == len(values)


def insertion(rows: Sequence[JobRow]) -> tuple[str, dict[str, Any]]:
    """The statement that writes these rows, and its values."""
    if len(rows) == 1 and rows[0].unique_key is None and rows[0].after is None:
        return "insert_job", rows[0]._asdict()
    return "enqueue", columns(rows)


def predecessors(rows: Sequence[JobRow]) -> list[int]:
    """The jobs, enqueued before, that these wait for."""
    texts = [row.after for row in rows if row.after is not None]
    return sorted({int(id_) for text in texts for id_ in text[1:-1].split(",") if int(id_) > 0})


def check_known(unknown: Sequence[Any]) -> None:
    """Raise InvalidInput when `after` names jobs that do not exist."""
    if unknown:
        ids = ", ".join(str(row["id"]) for row in unknown)
        raise InvalidInput(f"after= names jobs that do not exist (or were pruned): {ids}")


def inserted(rows: Sequence[JobRow], found: Sequence[Any]) -> list[EnqueuedJob]:
    """What either statement says of the jobs it wrote. Raises DuplicateJob where a job wanted that:
    then nothing was written."""
    if len(found) == 1 and "id" in found[0]:
        return [EnqueuedJob(found[0]["id"])]
    made = [EnqueuedJob(row["job_id"], row["fresh"]) for row in found]
    for row, one in zip(rows, made, strict=True):
        if row.raises and not one.fresh:
            raise DuplicateJob(row.entrypoint, row.unique_key or "", one.id)
    return made


def as_list(name: str, value: Any, count: int) -> list[Any]:
    """A scalar for every job, or a list with one value each. Raises InvalidInput (ValueError)."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise InvalidInput(
            f"{name} has {len(value)} values for {count} entrypoints; give one for each, "
            "or one scalar for all"
        )
    return list(value)


def new_jobs(entrypoints: Any, **fields: Any) -> list[NewJob]:
    """Jobs from parallel lists; scalars stand for every job."""
    names = list(entrypoints) if isinstance(entrypoints, (list, tuple)) else [entrypoints]
    lists = {name: as_list(name, value, len(names)) for name, value in fields.items()}
    singular = {
        "payloads": "payload", "priorities": "priority", "queues": "queue",
        "unique_keys": "unique_key", "concurrency_keys": "concurrency_key",
    }  # fmt: skip
    return [
        NewJob(name, **{singular.get(key, key): values[i] for key, values in lists.items()})
        for i, name in enumerate(names)
    ]
