"""pgq: a job queue on PostgreSQL.

The names in `__all__`, and those of `pgq_core.db`, `pgq_core.queries` and `pgq_core.models`, are
public; everything else may move without notice.
"""

from pgq_core import errors
from pgq_core.app import PgQueuer
from pgq_core.models import Job, JobState, NewJob, Priority, Schedule
from pgq_core.outcomes import Cancel, Retry, Snooze
from pgq_core.retries import Backoff
from pgq_core.worker.context import Context

__all__ = [
    "Backoff",
    "Cancel",
    "Context",
    "Job",
    "JobState",
    "NewJob",
    "PgQueuer",
    "Priority",
    "Retry",
    "Schedule",
    "Snooze",
    "errors",
]
