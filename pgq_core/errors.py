"""Every error pgq raises, as one tree.

The message names the value and the way out; the facts also travel as attributes.

    PgqError
    ├── InvalidInput (ValueError)    UnknownEntrypoint, AlreadyRegistered, InvalidArguments
    ├── DatabaseError                DatabaseUnreachable, SchemaMissing, SchemaOutdated, SchemaNewer
    ├── JobError                     JobNotFound, WaitTimeout, LeaseLost, JobUnfit
    ├── QueueFull
    ├── NotBound
    ├── MissingExtra (ImportError)
    └── EmbeddedServerError
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence


class PgqError(Exception):
    """Base of every error that pgq raises on purpose."""


class InvalidInput(PgqError, ValueError):
    """A value given by the caller cannot be used; nothing was written."""


class UnknownEntrypoint(InvalidInput):
    """No handler is registered under this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        names = ", ".join(self.known) or "none"
        super().__init__(
            f"no entrypoint {name!r} is registered here (known: {names}); register it with "
            f"@pgq.entrypoint({name!r}), or pass check=False if another service handles it"
        )


class AlreadyRegistered(InvalidInput):
    """Two handlers claim the same name."""

    def __init__(self, kind: str, name: str) -> None:
        self.name = name
        super().__init__(f"{kind} {name!r} is already registered; give one of the two another name")


class InvalidArguments(InvalidInput):
    """A task was called with arguments that its signature does not take."""

    def __init__(self, task: str, problems: Sequence[tuple[str, str]]) -> None:
        self.task, self.problems = task, list(problems)
        self.arguments = list(dict.fromkeys(path.partition(".")[0] for path, _ in problems if path))
        super().__init__(f"task {task!r}: {listed(problems)}; nothing was enqueued")


class DatabaseError(PgqError):
    """The database cannot be used as it is."""


class DatabaseUnreachable(DatabaseError):
    """No connection to the server could be opened."""


class SchemaMissing(DatabaseError):
    """The tables of pgq are not installed."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        super().__init__(
            f"pgq is not installed in schema {schema!r}; run `{typed('install', schema)}`, "
            "`manage.py migrate` or `await Queries(driver).initialize()`"
        )


class SchemaOutdated(DatabaseError):
    """The tables belong to an older version of pgq."""

    def __init__(self, schema: str, found: int, wanted: int) -> None:
        self.schema, self.found, self.wanted = schema, found, wanted
        super().__init__(
            f"schema {schema!r} holds pgq version {found}, this program needs {wanted}; "
            f"run `{typed('upgrade', schema)}` or `manage.py migrate`"
        )


class SchemaNewer(DatabaseError):
    """The tables belong to a newer version of pgq."""

    def __init__(self, schema: str, found: int, wanted: int) -> None:
        self.schema, self.found, self.wanted = schema, found, wanted
        super().__init__(
            f"schema {schema!r} holds pgq version {found}, this program knows only {wanted}; "
            "upgrade the package pgq-suite"
        )


class JobError(PgqError):
    """Something about one job."""


class JobNotFound(JobError, LookupError):
    """There is no such job, or it has been pruned."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id}; it may have been pruned")


class WaitTimeout(JobError, TimeoutError):
    """A job did not finish within the time we were willing to wait."""

    def __init__(self, job_id: int, timeout: float, state: str) -> None:
        self.job_id, self.timeout, self.state = job_id, timeout, state
        super().__init__(f"job {job_id} is still {state} after {timeout:g} s; it goes on")


class LeaseLost(JobError):
    """This attempt no longer owns its job: whatever it writes is refused."""

    def __init__(self, job_id: int, attempt: int) -> None:
        self.job_id, self.attempt = job_id, attempt
        super().__init__(
            f"attempt {attempt} of job {job_id} lost its lease; another worker owns the job, "
            "and this transaction was rolled back"
        )


class JobUnfit(JobError):
    """A job's payload does not fit the signature its task has by now."""

    def __init__(self, job_id: int, task: str, problems: Sequence[tuple[str, str]]) -> None:
        self.job_id, self.task, self.problems = job_id, task, list(problems)
        super().__init__(
            f"the payload of job {job_id} does not fit task {task!r}: {listed(problems)}; retry it "
            "once a version that takes it is deployed"
        )


class DuplicateJob(JobError):
    """A job holds this unique key already, and `on_duplicate="raise"` was asked for."""

    def __init__(self, entrypoint: str, unique_key: str, job_id: int) -> None:
        self.entrypoint, self.unique_key, self.job_id = entrypoint, unique_key, job_id
        super().__init__(f"job {job_id} holds the unique key {unique_key!r} of {entrypoint!r}")


class QueueFull(PgqError):
    """The queue is as deep as it may get; nothing was enqueued."""

    def __init__(self, queue: str, depth: int) -> None:
        self.queue, self.depth = queue, depth
        super().__init__(
            f"queue {queue!r} holds {depth} jobs or more; enqueue later, add workers, or raise "
            "max_depth"
        )


class NotBound(PgqError):
    """A PgQueuer without a driver was asked to use the database."""

    def __init__(self) -> None:
        super().__init__(
            "this PgQueuer has no database yet; use `async with PgQueuer.connect(dsn)`, "
            "PgQueuer(driver), or pass connection="
        )


class EmbeddedServerError(PgqError):
    """The embedded PostgreSQL server could not be found or started."""


class MissingExtra(PgqError, ImportError):
    """A library that only this feature needs is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{feature} need more: pip install 'pgq-suite[{extra}]'")


def typed(verb: str, schema: str) -> str:
    """The command line that does `verb` in this schema, whatever PGQ_SCHEMA says there."""
    return f"pgq-core {verb}" + (f" --schema {shlex.quote(schema)}" if schema != "public" else "")


def listed(problems: Iterable[tuple[str, str]]) -> str:
    """Problems by the path of the value, in one line."""
    return "; ".join(f"argument {path!r}: {text}" if path else text for path, text in problems)
