"""What a job is, before it is written and after."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from pgq_core.errors import InvalidInput
from pgq_core.options import MAX_PAYLOAD

MAX_DEPTH = 500  # Python 3.10 reads about 900 levels, PostgreSQL about 10,000
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[][{}]")

UNIQUE_WHILE = ("unfinished", "waiting")
ON_DUPLICATE = ("keep", "replace", "raise")
ON_FAILURE = ("run", "skip", "cancel", "only")


class Priority(IntEnum):
    """Names for priorities; lower runs first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 5
    LOW = 10


class JobState(str, Enum):
    """Where a job stands. `LOST` is never seen unless rows were removed by hand."""

    DEFERRED = "deferred"
    READY = "ready"
    BLOCKED = "blocked"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def finished(self) -> bool:
        """Whether the job has its last outcome."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(slots=True, eq=False)
class Job:
    """One request to run an entrypoint, as read from the database.

    `max_attempts` is a number for a handler; looked at from outside it is None where the job leaves
    it to its entrypoint, whose setting only the workers know.
    """

    id: int
    queue: str
    entrypoint: str
    priority: int
    attempt: int
    max_attempts: int | None
    payload: bytes
    headers: dict[str, Any]
    created_at: datetime
    run_at: datetime | None
    state: JobState
    timeout: float | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def json(self) -> Any:
        """The payload, decoded as JSON; None when there is no payload."""
        return json.loads(self.payload) if self.payload else None


class Attempt(NamedTuple):
    """What one start of a job decided."""

    job_id: int
    attempt: int
    outcome: str
    worker_id: int | None
    started_at: datetime | None
    finished_at: datetime
    error: dict[str, Any] | None
    result: Any


@dataclass(slots=True, frozen=True)
class Schedule:
    """One tick of a schedule, as its handler receives it."""

    name: str
    cron: str
    timezone: str
    tick: datetime
    job: Job


@dataclass(slots=True, frozen=True)
class NewJob:
    """A job not yet written. `None` leaves a value to the entrypoint, else to the database."""

    entrypoint: str
    payload: Any = None
    priority: int | None = None
    queue: str | None = None
    delay: float | timedelta | None = None
    run_at: datetime | timedelta | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    headers: dict[str, Any] | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    unique_for: float | timedelta | None = None
    unique_while: str = "unfinished"
    on_duplicate: str = "keep"
    after: Sequence[int | NewJob] = ()
    on_failure: str | None = None


def job_of(entrypoint: str | NewJob, *rest: Any) -> NewJob:
    """The job that `enqueue` was given: whole, or its fields in order. Raises InvalidInput."""
    if not isinstance(entrypoint, NewJob):
        return NewJob(entrypoint, *rest)
    for name, value, default in zip(_FIELDS, rest, _DEFAULTS, strict=True):
        if value is not default and value != default:
            raise InvalidInput(f"{name}={value!r} beside a NewJob: give it to the NewJob instead")
    return entrypoint


_FIELDS = tuple(each.name for each in fields(NewJob))[1:]
_DEFAULTS = tuple(each.default for each in fields(NewJob))[1:]


@dataclass(slots=True, frozen=True)
class EnqueuedJob:
    """What became of one enqueued job: its id, and whether it is new or the holder of its key."""

    id: int
    fresh: bool = field(default=True)


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


def row_of(
    job: NewJob, *, max_payload: int = MAX_PAYLOAD, fellows: Sequence[NewJob] = ()
) -> JobRow:
    """Check and encode a job. Raises InvalidInput naming the value and the way out.

    `fellows`: the jobs of the same call, in order; `after` may name them.
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
        check_smallint("priority", 5 if job.priority is None else job.priority),
        check_text("queue", "default" if job.queue is None else job.queue),
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
    )


class Fellows(list[NewJob]):
    """The jobs of one call, in order; they may wait for each other, in no circle (InvalidInput)."""

    def __init__(self, jobs: Iterable[NewJob]) -> None:
        super().__init__(jobs)
        self.places: dict[int, list[int]] = {}
        for place, job in enumerate(self, start=1):
            self.places.setdefault(id(job), []).append(place)
        graph = {
            id(job): [id(other) for other in waited_for(job) if isinstance(other, NewJob)]
            for job in self
            if job.after
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            names = {id(job): job.entrypoint for job in self}
            circle = " → ".join(repr(names.get(job)) for job in error.args[1])
            raise InvalidInput(f"after= makes jobs wait for each other: {circle}") from None


def waited_for(job: NewJob) -> Sequence[int | NewJob]:
    """What a job waits for. Raises InvalidInput for what is no list."""
    if isinstance(job.after, (int, str, NewJob)):
        raise InvalidInput(f"after={job.after!r}: give a list, as in after=[{job.after!r}]")
    return job.after


def encode_after(after: Sequence[int | NewJob], fellows: Sequence[NewJob]) -> str | None:
    """The jobs to wait for, as the text of a bigint[]; -k is the k-th job of the same call."""
    if not after:
        return None
    places = fellows.places if isinstance(fellows, Fellows) else Fellows(fellows).places
    ids: list[int] = []
    for job in after:
        if isinstance(job, NewJob):
            if id(job) not in places:
                raise InvalidInput(
                    f"after= names a NewJob ({job.entrypoint!r}) that is not part of this call; "
                    "enqueue both together, or give the id of the job already enqueued"
                )
            ids += [-place for place in places[id(job)]]
        elif isinstance(job, bool) or not isinstance(job, int) or job < 1:
            raise InvalidInput(f"after={job!r}: give ids of jobs, or NewJobs of the same call")
        else:
            ids.append(job)
    return "{" + ",".join(map(str, ids)) + "}"


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words."""
    if value not in choices:
        raise InvalidInput(f"{name}={value!r}: give one of {', '.join(map(repr, choices))}")
    return str(value)


def check_text(name: str, value: Any) -> str:
    """A non-empty text PostgreSQL can hold, at most 1,000 bytes."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name}={value!r}: give a str, not {type(value).__name__}")
    if not value:
        raise InvalidInput(f"{name}='': give a name that is not empty")
    if "\x00" in value:
        raise InvalidInput(f"{name}={value!r}: PostgreSQL texts cannot hold NUL; remove it")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name}={value!r} is no valid text: {error}; replace it") from None
    if size > 1000:
        raise InvalidInput(f"{name} is {size} bytes long; 1000 are allowed: hash or shorten it")
    return value


def check_smallint(name: str, value: Any, lowest: int = -32768) -> int:
    """An integer that fits PostgreSQL's smallint."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name}={value!r}: give an int, not {type(value).__name__}")
    if not lowest <= value <= 32767:
        raise InvalidInput(f"{name}={value!r}: give a number from {lowest} to 32767")
    return int(value)


def check_timeout(value: float | None) -> float | None:
    """Seconds above zero, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidInput(f"timeout={value!r}: give seconds above 0, or None")
    return float(value)


def due_of(
    run_at: datetime | timedelta | None, delay: float | timedelta | None
) -> tuple[datetime | None, float | None]:
    """When a job is due: an aware datetime, or seconds from the database's now."""
    if run_at is not None and delay is not None:
        raise InvalidInput(f"run_at={run_at!r} and delay={delay!r}: give only one of the two")
    if isinstance(run_at, datetime):
        if run_at.tzinfo is None or run_at.utcoffset() is None:
            raise InvalidInput(
                f"run_at={run_at!r} has no time zone; give an aware datetime, as in "
                "datetime.now(timezone.utc) + timedelta(hours=1), or a timedelta"
            )
        return run_at, None
    if run_at is not None and not isinstance(run_at, timedelta):
        raise InvalidInput(
            f"run_at={run_at!r}: give an aware datetime or a timedelta, or seconds as delay="
        )
    if run_at is not None:
        return None, check_seconds("run_at", run_at)
    return None, None if delay is None else check_seconds("delay", delay)


def check_seconds(name: str, value: float | timedelta) -> float:
    """A length of time in seconds, at most a hundred years."""
    wait = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not math.isfinite(wait):
        raise InvalidInput(f"{name}={value!r}: give seconds or a timedelta")
    if not 0 <= wait <= 3.2e9:
        raise InvalidInput(f"{name}={value!r}: give a time from 0 to 100 years")
    return float(wait)


def check_period(value: float | timedelta | None) -> float | None:
    """How long a unique key is held: longer than no time at all."""
    if value is None:
        return None
    seconds = check_seconds("unique_for", value)
    if not seconds:
        raise InvalidInput(f"unique_for={value!r}: give a time above 0, or leave it out")
    return seconds


def encode_payload(value: Any, limit: int = MAX_PAYLOAD) -> bytes | None:
    """Bytes as they are, a str as UTF-8, anything else as JSON."""
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
    else:
        try:
            text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
            data = text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(
                f"payload of type {type(value).__name__} cannot be written as JSON ({error}); "
                "give bytes, a str, or values JSON can hold"
            ) from None
    if len(data) > limit:
        raise InvalidInput(
            f"payload is {len(data)} bytes, the limit is {limit}; store it elsewhere and enqueue "
            "its key, or raise max_payload"
        )
    return data


def encode_headers(headers: dict[str, Any] | None) -> str | None:
    """Headers as JSON text that jsonb takes: a dict with str keys, no NaN, no NUL."""
    if headers is None:
        return None
    if not isinstance(headers, dict) or not all(isinstance(key, str) for key in headers):
        raise InvalidInput(f"headers={headers!r}: give a dict with str keys")
    return encode_jsonb("headers", headers)


def encode_jsonb(name: str, value: Any) -> str:
    """A value as JSON text that PostgreSQL's jsonb accepts."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} cannot be written as JSON: {error}") from None
    check_jsonb_text(name, text)
    return text


def check_jsonb_text(name: str, text: str) -> None:
    """Refuse what json.dumps writes and jsonb does not take: deep nesting, NUL, lone surrogates."""
    check_depth(name, text)
    if "\\u" not in text:
        return
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    if "\\u0000" in plain.replace("\\\\", ""):
        raise InvalidInput(f"{name} holds a NUL character, which jsonb cannot store; remove it")
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} holds text that is not valid Unicode: {error}") from None


def check_depth(name: str, text: str) -> None:
    """Refuse JSON that is nested deeper than every reader's stack holds, PostgreSQL's included."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{name} is nested more than {MAX_DEPTH} levels deep; flatten it")
