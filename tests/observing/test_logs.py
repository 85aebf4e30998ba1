"""Log records know the job they belong to."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pgq_core import Job, PgQueuer
from pgq_core.logs import JobLogs


@pytest.fixture
def records() -> Any:
    """What a logger of the user's wrote, through the filter."""
    logs, found = JobLogs(), []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler, logger = Keep(), logging.getLogger("shop")
    handler.addFilter(logs)
    logger.addHandler(handler)
    yield logs, found
    logger.removeHandler(handler)


async def test_every_record_names_its_job(database: str, records: Any) -> None:
    """Inside a handler, thread or not, records carry job, entrypoint and attempt; outside, None."""
    logs, found = records
    logger = logging.getLogger("shop")
    async with PgQueuer.connect(database, hooks=[logs]) as pgq:

        @pgq.entrypoint("loop")
        async def in_the_loop(job: Job) -> None:
            logger.warning("loop")

        @pgq.entrypoint("thread")
        def in_a_thread(job: Job) -> None:
            logger.warning("thread")

        ids = {"loop": await pgq.enqueue("loop"), "thread": await pgq.enqueue("thread")}
        await pgq.run(until_empty=True)
    logger.warning("outside")
    for record in found[:-1]:
        assert (record.job_id, record.attempt) == (ids[record.msg], 1)
        assert record.entrypoint == record.msg
    assert len(found) == 3
    assert (found[-1].job_id, found[-1].trace_id) == (None, None)


async def test_records_carry_the_trace(database: str, records: Any) -> None:
    """With OpenTelemetry in use a record also has the ids of its trace and span."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from pgq_core.tracing import Tracing

    logs, found = records
    async with PgQueuer.connect(database, hooks=[logs, Tracing(sdk.TracerProvider())]) as pgq:

        @pgq.entrypoint("traced")
        async def traced(job: Job) -> None:
            logging.getLogger("shop").warning("here")

        id_ = await pgq.enqueue("traced")
        await pgq.run(until_empty=True)
        header = (await pgq.queries.get_job(id_)).headers["traceparent"]
    assert found[0].trace_id == header.split("-")[1]
    assert len(found[0].span_id) == 16
