"""The FAQ on priorities: the lower number runs first."""

from __future__ import annotations

import pytest

from pgq_core import Job, JobState, PgQueuer, Priority
from tests.faq.running import drain


async def test_zero_before_one_before_five_before_ten(pgq: PgQueuer) -> None:
    """Whatever came in first: critical (0), high (1), normal (5), low (10)."""
    order: list[int] = []

    @pgq.entrypoint("note")
    async def note(job: Job) -> None:
        order.append(job.priority)

    await pgq.queries.enqueue(["note"] * 8, [b""] * 8, [10, 5, 1, 0, 0, 1, 5, 10])
    await drain(pgq, concurrency=1)
    assert order == [0, 0, 1, 1, 5, 5, 10, 10]
    assert [*Priority] == [0, 1, 5, 10]


async def test_the_batches_of_the_faq(pgq: PgQueuer) -> None:
    """`enqueue(entrypoints=…, payloads=…, priorities=…)`: ids in input order, alerts run first."""
    order: list[tuple[str, str]] = []

    async def note(job: Job) -> None:
        order.append((job.entrypoint, job.payload.decode()))

    names = ["send_alert", "handle_error", "send_email", "process_upload", "cleanup_logs", "backup"]
    for name in names:
        pgq.entrypoint(name)(note)

    low = await pgq.queries.enqueue(
        entrypoints=["cleanup_logs", "backup"],
        payloads=[b"Clean old logs", b"Backup user data"],
        priorities=[10, 10],
    )
    normal = await pgq.queries.enqueue(
        entrypoints=["send_email", "process_upload"],
        payloads=[b"Welcome email", b"Process file.pdf"],
        priorities=[5, 5],
    )
    critical = await pgq.queries.enqueue(
        entrypoints=["send_alert", "handle_error"],
        payloads=[b"Alert: System down", b"Error: Payment failed"],
        priorities=[0, 0],
    )
    for ids, expected in ((low, names[4:]), (normal, names[2:4]), (critical, names[:2])):
        assert [(await pgq.queries.get_job(id_)).entrypoint for id_ in ids] == expected

    await drain(pgq, concurrency=1)
    assert {name for name, _ in order[:2]} == {"send_alert", "handle_error"}
    assert {name for name, _ in order[2:4]} == {"send_email", "process_upload"}
    assert {name for name, _ in order[4:]} == {"cleanup_logs", "backup"}
    assert ("send_alert", "Alert: System down") in order


async def test_five_is_the_default(pgq: PgQueuer) -> None:
    """Without a priority a job is normal."""
    (job_id,) = await pgq.queries.enqueue("note")
    assert (await pgq.queries.get_job(job_id)).priority == Priority.NORMAL == 5


async def test_many_ids_come_back_in_order(pgq: PgQueuer) -> None:
    """A thousand jobs in one call: the n-th id is the n-th job's."""
    payloads = [str(number).encode() for number in range(1000)]
    ids = await pgq.queries.enqueue(["note"] * 1000, payloads, [n % 11 for n in range(1000)])
    found = {job.id: job.payload for job in await pgq.queries.get_jobs(limit=1000)}
    assert [found[id_] for id_ in ids] == payloads


async def test_lists_must_have_one_length(pgq: PgQueuer) -> None:
    """A list that is too short is an error that says so, and nothing is written."""
    with pytest.raises(ValueError, match="payloads has 1 values for 2 entrypoints"):
        await pgq.queries.enqueue(entrypoints=["a", "b"], payloads=[b"x"], priorities=[0, 0])
    assert await pgq.queries.get_jobs() == []


async def test_a_scalar_stands_for_all(pgq: PgQueuer) -> None:
    """One priority for a whole batch."""
    ids = await pgq.queries.enqueue(["a", "b"], priorities=Priority.HIGH)
    assert [(await pgq.queries.get_job(id_)).priority for id_ in ids] == [1, 1]
    assert (await pgq.queries.get_job(ids[0])).state is JobState.READY
