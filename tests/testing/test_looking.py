"""Asserting what was enqueued."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgq_core import NewJob, PgQueuer
from pgq_core.testing import assert_enqueued, enqueued, run_pending
from pgq_core.testing.clock import Clock


async def test_by_name_task_and_arguments(pgq: PgQueuer) -> None:
    """`assert_enqueued` finds jobs by entrypoint, by task, or by a task's very arguments."""

    @pgq.task("mail")
    async def send(to: str, copies: int = 1) -> None: ...

    ids = [await send.enqueue("a"), await send.enqueue("b", copies=2)]
    assert [job.id for job in await assert_enqueued(pgq, "mail", count=2)] == ids
    assert [job.id for job in await assert_enqueued(pgq, send)] == ids
    [job] = await assert_enqueued(pgq, send.job(to="b", copies=2))
    assert job.id == ids[1]
    await assert_enqueued(pgq, send.job("c"), count=0)
    await run_pending(pgq)
    await assert_enqueued(pgq, send.job("a"), count=1)


async def test_by_options(pgq: PgQueuer) -> None:
    """A NewJob asks for payload and options; what it leaves out does not matter."""
    moment = Clock().move(days=1)
    await pgq.enqueue(
        "mail", {"a": 1, "b": 2}, priority=0, delay=3600, headers={"trace": "x", "more": 1}
    )
    await pgq.enqueue("mail", b"\xff", queue="other", run_at=moment)
    await assert_enqueued(pgq, NewJob("mail"), count=2)
    await assert_enqueued(pgq, NewJob("mail", {"b": 2, "a": 1}, priority=0), count=1)
    await assert_enqueued(pgq, NewJob("mail", delay=timedelta(hours=1)), count=1)
    await assert_enqueued(pgq, NewJob("mail", headers={"trace": "x"}), count=1)
    await assert_enqueued(pgq, NewJob("mail", b"\xff", queue="other", run_at=moment), count=1)
    for other in (
        NewJob("mail", {"a": 1}),
        NewJob("mail", priority=1),
        NewJob("mail", delay=60),
        NewJob("mail", headers={"trace": "y"}),
        NewJob("mail", run_at=moment + timedelta(seconds=1)),
    ):
        await assert_enqueued(pgq, other, count=0)


async def test_the_failure_shows_what_is_there(pgq: PgQueuer) -> None:
    """A failed assertion lists what was enqueued instead."""
    with pytest.raises(AssertionError, match="there is\n  nothing"):
        await assert_enqueued(pgq, "mail")
    await pgq.enqueue("mail", {"to": "a"})
    with pytest.raises(AssertionError, match=r"expected 2 of mail, found 1; there is\n  mail b'{"):
        await assert_enqueued(pgq, "mail", count=2)


async def test_many(pgq: PgQueuer) -> None:
    """All jobs are found, however many, in the order they were enqueued."""
    made = await pgq.enqueue_many([NewJob("mail", str(number)) for number in range(1500)])
    assert [job.id for job in await enqueued(pgq)] == [job.id for job in made]
