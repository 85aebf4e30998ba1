"""From a job's rows to a TaskResult."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from pgq_core.queries.rows import headers_of
from pgq_django import catalogue
from pgq_django.compat import (
    AnyTask,
    Result,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
)
from pgq_django.exceptions import TaskGone
from pgq_django.jobs import BACKEND
from pgq_django.priorities import to_django
from pgq_django.statements import Row, decoded, octets, run
from pgq_django.task import PgqTask, variant

_ID = re.compile(r"pgq-([1-9]\d{0,18})")
LARGEST = 2**63 - 1
STATUS = {
    "running": TaskResultStatus.RUNNING,
    "succeeded": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
    "lost": TaskResultStatus.FAILED,
}
ERRORS = ("retry", "failed", "cancelled", "lost")
OURS = ("Cancelled", "WorkerLost", "Interrupted")


def result_id(job: int) -> str:
    """A job's id as a TaskResult shows it: one can tell by its look that it is none of ours."""
    return f"pgq-{job}"


def job_id(result: Any) -> int:
    """The job behind a result's id. Raises TaskResultDoesNotExist without asking the database."""
    match = _ID.fullmatch(result) if isinstance(result, str) else None
    if match is None or int(match[1]) > LARGEST:
        raise TaskResultDoesNotExist(result)
    return int(match[1])


def load(backend: Any, result: str) -> Result:
    """The result of a job that this backend enqueued."""
    job = job_id(result)
    rows = run(backend.database, "job_result", id=job)
    if not rows:
        raise TaskResultDoesNotExist(result)
    task = task_of(rows[0])
    if backend_of(rows[0], task) != backend.alias:
        raise TaskResultDoesNotExist(result)
    return build(rows[0], run(backend.database, "get_attempts", id=job), backend.alias, task)


def load_any(database: str, job: int, backends: Collection[str]) -> Result:
    """The result of a job whichever of these backends it belongs to, the first when to none.
    Raises TaskResultDoesNotExist."""
    rows = run(database, "job_result", id=job)
    if not rows:
        raise TaskResultDoesNotExist(result_id(job))
    task = task_of(rows[0])
    alias = backend_of(rows[0], task)
    alias = alias if alias in backends else next(iter(backends))
    return build(rows[0], run(database, "get_attempts", id=job), alias, task)


def backend_of(row: Row, task: AnyTask) -> str:
    """The backend a job belongs to; one that was not enqueued by Django to its task's."""
    found = headers_of(row["id"], row["headers"]).get(BACKEND)
    return found if isinstance(found, str) else task.backend


def build(row: Row, attempts: list[Row], alias: str, task: AnyTask) -> Result:
    """A TaskResult from a row of job_result.sql, the job's attempts and its task."""
    args, kwargs = arguments_in(octets(row["payload"]))
    status = STATUS.get(row["state"], TaskResultStatus.READY)
    finished = attempts[-1] if attempts and row["state"] in STATUS and not running(row) else None
    starts = [a["started_at"] for a in attempts if a["started_at"] is not None]
    if running(row) and row["claimed_at"] is not None:
        starts.append(row["claimed_at"])
    result: Result = TaskResult(
        task=variant_of(row, alias, task),
        id=result_id(row["id"]),
        status=status,
        enqueued_at=row["created_at"],
        started_at=starts[0] if starts else None,
        last_attempted_at=starts[-1] if starts else None,
        finished_at=finished["finished_at"] if finished else None,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[error_of(a) for a in attempts if a["outcome"] in ERRORS],
        worker_ids=workers_of(row, attempts),
    )
    if status == TaskResultStatus.SUCCESSFUL:
        object.__setattr__(result, "_return_value", decoded(row["last_result"]))
    return result


def arguments_in(payload: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The arguments in a job's payload; the tick of a schedule has none. Raises TaskGone."""
    found = json.loads(payload) if payload else {}
    if not isinstance(found, dict) or not (found.keys() <= {"args", "kwargs"} or "tick" in found):
        raise TaskGone(
            f'the payload of this job is not {{"args": […], "kwargs": {{…}}}}: {found!r:.80}'
        )
    return found.get("args", []), found.get("kwargs", {})


def running(row: Row) -> bool:
    """Whether a worker has the job right now."""
    return bool(row["state"] == "running")


def workers_of(row: Row, attempts: list[Row]) -> list[str]:
    """One id per start."""
    ids = [str(a["worker_id"]) for a in attempts if a["worker_id"] is not None]
    return [*ids, str(row["running_on"])] if running(row) else ids


def task_of(row: Row) -> AnyTask:
    """The task of a job. Raises TaskResultDoesNotExist when its function is gone."""
    try:
        found: AnyTask = catalogue.serving(row["entrypoint"])
    except TaskGone as error:
        raise TaskResultDoesNotExist(
            f"{result_id(row['id'])}: its task is gone: {error}"
        ) from error
    return found


def variant_of(row: Row, alias: str, task: AnyTask) -> AnyTask:
    """The variant that was enqueued."""
    changes = {
        "priority": to_django(row["priority"]),
        "queue_name": row["queue"],
        "run_after": row["run_at"],
        "backend": alias,
    }
    if isinstance(task, PgqTask):
        for name in ("max_attempts", "timeout"):
            if row[name] is not None:
                changes[name] = row[name]
    found: AnyTask = variant(task, **changes)
    return found


def error_of(attempt: Row) -> TaskError:
    """What an attempt that did not succeed left behind; our own errors name our classes."""
    error = decoded(attempt["error"]) or {}
    kind = str(error.get("type") or "pgq_django.exceptions.WorkerLost")
    path = f"pgq_django.exceptions.{kind}" if kind in OURS else kind
    trace = error.get("traceback") or f"{path}: {error.get('message', '')}\n"
    return TaskError(exception_class_path=path, traceback=trace)
