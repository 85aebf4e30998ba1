"""The queue's tables as Django models, to be read.

They are managed in the migrations' state, so that `TransactionTestCase` empties them; the DDL is
the core's. `Job` reads the view with a job's state; `Installation` is unmanaged, so that no flush
forgets which version is installed.
"""

from pgq_django.models.jobs import Attempt, Job, JobBody, Progress
from pgq_django.models.places import (
    Batch,
    Blocked,
    CancelWish,
    Deferred,
    Edge,
    Holder,
    Lane,
    Lease,
    Limit,
    Lock,
    Rate,
    Ready,
)
from pgq_django.models.running import Installation, Queue, Schedule, Worker

__all__ = [
    "Attempt",
    "Batch",
    "Blocked",
    "CancelWish",
    "Deferred",
    "Edge",
    "Holder",
    "Installation",
    "Job",
    "JobBody",
    "Lane",
    "Lease",
    "Limit",
    "Lock",
    "Progress",
    "Queue",
    "Rate",
    "Ready",
    "Schedule",
    "Worker",
]
