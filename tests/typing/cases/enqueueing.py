"""What a type checker knows of enqueueing: every option of a job, by name and type."""

from __future__ import annotations

from typing import Any

from typing_extensions import reveal_type

from pgq_core import NewJob, PgQueuer


async def program(pgq: PgQueuer, connection: Any) -> None:
    reveal_type(await pgq.enqueue("greet", {"a": 1}, delay=5))  # E: Revealed type is "int"
    reveal_type(await pgq.enqueue(NewJob("greet")))  # E: Revealed type is "int"
    await pgq.enqueue("greet", dealy=5)  # E: Unexpected keyword argument "dealy"
    await pgq.enqueue("greet", priority="high")  # E: Argument "priority" to "enqueue"
    pgq.enqueue_sync("greet", unique_key="1", connection=connection)
    pgq.enqueue_sync("greet")  # E: Missing named argument "connection"
    with pgq.batch_sync(on_done=NewJob("greet"), connection=connection) as batch:
        batch.add("greet", 1)
        reveal_type(batch.progress().done)  # E: Revealed type is "bool"
    pgq.batch_sync()  # E: Missing named argument "connection"
    ids = pgq.chain_sync(NewJob("a"), connection=connection)
    reveal_type(ids)  # E: Revealed type is "list[int]"
    async with PgQueuer.connect() as own:
        reveal_type(own)  # E: Revealed type is "pgq_core.app.pgqueuer.PgQueuer"
