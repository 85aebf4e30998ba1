"""Batches and chains in plain functions, on every blocking connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from pgq_core import JobState, NewJob, PgQueuer
from pgq_core.errors import InvalidInput
from tests.connections.conftest import Outside
from tests.connections.desks import BLOCKING, Desk


def batch_on(desk: Desk, **callbacks: Any) -> Any:
    """A batch in the desk's transaction, of jobs that others run."""
    return desk.pgq.batch_sync(connection=desk.connection, check=False, **callbacks)


@pytest.fixture(params=BLOCKING)
async def blocking(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Desk]:
    """A desk of plain functions."""
    async with request.param(database, PgQueuer()) as opened:
        yield opened


async def test_a_batch_belongs_to_the_transaction(blocking: Desk, outside: Outside) -> None:
    """`with pgq.batch_sync(…)` enqueues jobs and callbacks in the caller's transaction."""
    with batch_on(blocking, on_done=NewJob("report", "r")) as batch:
        batch.add("mail", "a")
        batch.add(NewJob("mail", "b"))
    assert await outside.ids() == []
    assert (batch.progress().total, batch.progress().open) == (2, 2)
    await blocking.do(blocking.commit)
    assert await outside.ids() == [*batch.job_ids, *batch.callback_ids]


async def test_a_batch_is_rolled_back(blocking: Desk, outside: Outside) -> None:
    """A rollback takes the batch back with everything in it."""
    with batch_on(blocking) as batch:
        batch.add("mail")
    await blocking.do(blocking.rollback)
    assert await outside.ids() == []
    with pytest.raises(InvalidInput, match=f"no batch {batch.id}"):
        batch.progress()


async def test_an_error_in_the_block_enqueues_nothing(blocking: Desk, outside: Outside) -> None:
    """What the block raises passes, and nothing of the batch is enqueued."""
    batch = batch_on(blocking)

    def fail() -> None:
        with batch:
            batch.add("mail")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(InvalidInput, match="not enqueued yet"):
        batch.progress()
    await blocking.do(blocking.commit)
    assert await outside.ids() == []


async def test_a_chain_belongs_to_the_transaction(blocking: Desk, outside: Outside) -> None:
    """`pgq.chain_sync(a, b)` enqueues both in the caller's transaction, the second behind the
    first."""
    jobs, connection = (NewJob("mail"), NewJob("mail")), blocking.connection
    ids = blocking.pgq.chain_sync(*jobs, connection=connection, check=False)
    await blocking.do(blocking.commit)
    assert await outside.ids() == ids


async def test_a_batch_from_a_script(database: str) -> None:
    """A script enqueues a batch on psycopg; a worker runs it, and its callback reads the results."""
    async with PgQueuer.connect(database) as pgq:

        @pgq.entrypoint("double")
        def double(job) -> int:  # type: ignore[no-untyped-def]
            return 2 * job.json()

        @pgq.entrypoint("total")
        def total(job, context) -> int:  # type: ignore[no-untyped-def]
            return sum(context.results_sync().values())

        with (
            psycopg.connect(database, autocommit=True) as connection,
            pgq.batch_sync(on_success=NewJob("total"), connection=connection) as batch,
        ):
            for number in range(4):
                batch.add("double", number)
        await pgq.run(until_empty=True)
        callback = await pgq.queries.get_job(batch.callback_ids[0])
        assert (callback.state, callback.result) == (JobState.SUCCEEDED, 12)
        assert batch.id is not None
        assert (await pgq.queries.batch_progress(batch.id)).succeeded == 4
