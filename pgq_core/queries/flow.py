"""Batches, results of predecessors, and how deep a queue is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pgq_core.errors import InvalidInput
from pgq_core.queries import rows
from pgq_core.queries.base import Statements


class BatchProgress(NamedTuple):
    """How far a batch is."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    pruned: int = 0

    @property
    def open(self) -> int:
        """Jobs without a last outcome."""
        return self.total - self.succeeded - self.failed - self.cancelled - self.pruned

    @property
    def done(self) -> bool:
        """Whether every job has ended."""
        return self.open == 0


class Flow(Statements):
    """The verbs about jobs that belong together."""

    async def make_batch(self, ids: Sequence[int], callback: int | None, on: Any = None) -> int:
        """Note that these jobs belong together; returns the batch's id."""
        found = await self.call("make_batch", on, jobs=list(ids), callback=callback)
        return int(found[0]["batch_id"])

    async def batch_progress(self, batch_id: int) -> BatchProgress:
        """How many of a batch's jobs have ended, and how. Raises InvalidInput."""
        return progress_in(await self.call("batch_progress", batch=batch_id), batch_id)

    def make_batch_sync(self, ids: Sequence[int], callback: int | None, on: Any) -> int:
        """`make_batch` on a connection that blocks."""
        found = self.call_sync("make_batch", on, jobs=list(ids), callback=callback)
        return int(found[0]["batch_id"])

    def batch_progress_sync(self, batch_id: int, on: Any) -> BatchProgress:
        """`batch_progress` on a connection that blocks. Raises InvalidInput."""
        return progress_in(self.call_sync("batch_progress", on, batch=batch_id), batch_id)

    async def get_results(self, ids: Sequence[int]) -> dict[int, Any]:
        """The results of jobs that succeeded: id → result."""
        found = await self.call("get_results", jobs=list(ids))
        return {row["job_id"]: rows.decoded(row["result"]) for row in found}

    async def depth(self, queue: str, limit: int, on: Any = None) -> int:
        """How many jobs of a queue are due, ready or parked at a busy key, up to `limit`."""
        return int((await self.call("depth", on, queue=queue, limit=limit))[0]["depth"])

    def depth_sync(self, queue: str, limit: int, on: Any) -> int:
        """The same on a connection that blocks."""
        return int(self.call_sync("depth", on, queue=queue, limit=limit)[0]["depth"])


def progress_in(found: Sequence[Any], batch_id: int) -> BatchProgress:
    """The row of batch_progress.sql. Raises InvalidInput when there is none."""
    if not found:
        raise InvalidInput(f"there is no batch {batch_id}; it goes with the last of its jobs")
    return BatchProgress(*(found[0][count] for count in BatchProgress._fields))
