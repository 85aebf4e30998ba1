"""Prune and delete: finished jobs go, with their history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pgq_core.errors import InvalidInput
from pgq_core.options import MONTH, WEEK, Age, check_age
from pgq_core.queries.base import Statements

START = -(2**63)  # below every id that a plain INSERT may choose


class Pruned(NamedTuple):
    """What one step of pruning did. `old`: it saw jobs old enough to go, once they have ended."""

    last_id: int | None
    pruned: int
    old: bool


class Retention(Statements):
    """The verbs that delete."""

    async def prune(
        self,
        *,
        succeeded: Age = WEEK,
        failed: Age = MONTH,
        cancelled: Age = WEEK,
        batch: int = 1000,
    ) -> int:
        """Delete finished jobs older than that, in small transactions; returns how many.

        Ages are seconds or timedeltas; None: that outcome is kept for ever. Batches whose jobs are
        gone go too.
        """
        if batch < 1:
            raise InvalidInput(f"prune: batch={batch!r}: give at least 1")
        gone, position = 0, START
        while True:
            step = await self.prune_some(position, batch, succeeded, failed, cancelled)
            gone += step.pruned
            if step.last_id is None:
                break
            position = step.last_id
        first: int | None = 0
        while first is not None:
            first = await self.prune_batches(first)
        return gone

    async def prune_some(
        self, from_id: int, limit: int, succeeded: Age, failed: Age, cancelled: Age
    ) -> Pruned:
        """One step of `prune`: look at the next so many jobs."""
        found = await self.call(
            "prune", from_id=from_id, limit=limit,
            succeeded=check_age("prune: succeeded", succeeded),
            failed=check_age("prune: failed", failed),
            cancelled=check_age("prune: cancelled", cancelled),
        )  # fmt: skip
        return Pruned(*(found[0][name] for name in Pruned._fields))

    async def prune_batches(self, from_id: int, limit: int = 1000) -> int | None:
        """Delete batches whose jobs are gone, of the next so many; returns the last one looked at,
        None at the end."""
        found = await self.call("prune_batches", from_id=from_id, limit=limit)
        return None if found[0]["last_id"] is None else int(found[0]["last_id"])

    async def delete(self, ids: Iterable[int]) -> int:
        """Delete finished jobs with their history; returns how many went."""
        return int((await self.call("delete_jobs", jobs=list(ids)))[0]["deleted"])
