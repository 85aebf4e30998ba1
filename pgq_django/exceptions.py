"""What pgq_django raises, and the classes its task errors name."""

from __future__ import annotations

from pgq_core.errors import InvalidInput, PgqError


class ReadOnlyModel(PgqError, TypeError):
    """The queue's tables are not written through the ORM."""

    def __init__(self, model: str, verb: str) -> None:
        self.model, self.verb = model, verb
        super().__init__(
            f"{model}: {verb} is refused. A job is made by task.enqueue() or pgq_django.enqueue(), "
            "and changed by manage.py pgq_retry, pgq_cancel, pgq_prune or the admin"
        )


class NotPostgreSQL(PgqError):
    """The queue is looked for in a database where it cannot be."""

    def __init__(self, using: str, vendor: str) -> None:
        self.using, self.vendor = using, vendor
        super().__init__(
            f"the database {using!r} is {vendor}; the queue lives in PostgreSQL. Name the alias of "
            "one in TASKS[…]['OPTIONS']['database'], or pass using= or --database"
        )


class InvalidArgument(InvalidInput, TypeError):
    """An argument of a task cannot be stored as JSON; nothing was written."""


class Cancelled(PgqError):
    """The job was cancelled before it finished."""


class WorkerLost(PgqError):
    """The worker died or disappeared while the job ran."""


class Interrupted(PgqError):
    """The job was interrupted by a shutdown and may start only once."""


class TaskGone(PgqError):
    """The function of a stored job cannot be found any more."""
