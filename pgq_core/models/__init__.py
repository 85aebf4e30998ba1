"""What a job is, before it is written and after."""

from pgq_core.models.checks import check_choice, check_smallint, check_text
from pgq_core.models.encoding import check_jsonb_text, encode_headers, encode_jsonb, encode_payload
from pgq_core.models.fellows import Fellows, encode_after, waited_for
from pgq_core.models.job import Attempt, Job, JobState, Priority, Schedule
from pgq_core.models.new_job import (
    ON_DUPLICATE,
    ON_FAILURE,
    UNIQUE_WHILE,
    EnqueuedJob,
    NewJob,
    job_of,
)
from pgq_core.models.row import JobRow, row_of
from pgq_core.models.times import check_period, check_seconds, check_timeout, due_of

__all__ = [
    "ON_DUPLICATE",
    "ON_FAILURE",
    "UNIQUE_WHILE",
    "Attempt",
    "EnqueuedJob",
    "Fellows",
    "Job",
    "JobRow",
    "JobState",
    "NewJob",
    "Priority",
    "Schedule",
    "check_choice",
    "check_jsonb_text",
    "check_period",
    "check_seconds",
    "check_smallint",
    "check_text",
    "check_timeout",
    "due_of",
    "encode_after",
    "encode_headers",
    "encode_jsonb",
    "encode_payload",
    "job_of",
    "row_of",
    "waited_for",
]
