"""Batches and chains on the caller's connection, whatever it is."""

from __future__ import annotations

from pgq_core import NewJob
from tests.connections.conftest import Outside
from tests.connections.desks import Desk


async def test_a_batch_in_your_transaction(desk: Desk, outside: Outside) -> None:
    """A batch joins the transaction open on your connection, its progress can be asked there."""
    async with desk.pgq.batch(on_done=NewJob("done"), connection=desk.connection) as batch:
        for _ in range(3):
            batch.add("mail")
    assert batch.id is not None
    progress = await batch.progress()
    assert (progress.total, progress.open, progress.done) == (3, 3, False)
    assert await outside.ids() == []
    await desk.do(desk.commit)
    assert await outside.ids() == [*batch.job_ids, *batch.callback_ids]
    assert await outside.pointers() == 3


async def test_a_chain_in_your_transaction(desk: Desk, outside: Outside) -> None:
    """A chain joins it too; only its first link is ready."""
    ids = await desk.pgq.chain(NewJob("a"), NewJob("b"), connection=desk.connection)
    await desk.do(desk.commit)
    assert await outside.ids() == ids
    assert await outside.pointers() == 1
