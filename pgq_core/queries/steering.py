"""Cancel, retry, pause: one by one, or many by filter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.models import JobState, check_choice
from pgq_core.options import MOST
from pgq_core.queries.retention import Retention
from pgq_core.retries import LONGEST

BATCH = 500


class Steering(Retention):
    """The verbs that change what happens to jobs."""

    async def cancel(self, ids: Iterable[int], reason: str | None = None) -> dict[int, str]:
        """Cancel jobs; per id 'cancelled', 'requested' (it runs), 'finished' or 'unknown'."""
        found = await self.call("cancel", jobs=list(ids), reason=reason)
        return {row["job_id"]: row["verdict"] for row in found}

    async def retry(self, ids: Iterable[int]) -> dict[int, str]:
        """Run finished jobs again; per id 'retried', 'running', 'held' or 'unknown'."""
        found = await self.call("retry", jobs=list(ids))
        return {row["job_id"]: row["verdict"] for row in found}

    async def pause(self, queue: str = "", entrypoint: str = "") -> None:
        """Stop starting jobs of a queue, of an entrypoint, or of one in the other.

        At once on every worker, and until `resume`; running jobs go on.
        """
        if not queue and not entrypoint:
            raise InvalidInput("pause(): name a queue, an entrypoint, or both")
        await self.call("pause", queue=queue, entrypoint=entrypoint)
        await self.call("tell_all", message="look")

    async def resume(self, queue: str = "", entrypoint: str = "") -> None:
        """Take back the `pause` with the same names."""
        await self.call("resume", queue=queue, entrypoint=entrypoint)
        await self.call("tell_all", message="look")

    async def bulk(
        self,
        verb: str,
        *,
        queue: str | None = None,
        entrypoint: str | None = None,
        states: Iterable[JobState | str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> int:
        """`cancel`, `retry` or `delete` every job that matches, in batches of 500.

        Returns how many were changed; with `dry_run` how many would be tried. Without `states`
        these are the ones the verb applies to. `reason` is kept with jobs that are cancelled.
        """
        check_choice("verb", verb, ("cancel", "retry", "delete"))
        wanted = _STATES[verb] if states is None else [JobState(state).value for state in states]
        filters = {
            "queue": queue, "entrypoint": entrypoint, "states": wanted,
            "created_after": created_after, "created_before": created_before,
        }  # fmt: skip
        changed = 0
        async for ids in self._matching(filters, limit):
            changed += len(ids) if dry_run else await self._apply(verb, ids, reason)
        return changed

    async def _apply(self, verb: str, ids: list[int], reason: str | None) -> int:
        if verb == "delete":
            return await self.delete(ids)
        verdicts = await (self.cancel(ids, reason) if verb == "cancel" else self.retry(ids))
        return sum(
            verdict in ("cancelled", "requested", "retried") for verdict in verdicts.values()
        )

    async def _matching(
        self, filters: dict[str, Any], limit: int | None
    ) -> AsyncIterator[list[int]]:
        """Ids of matching jobs, oldest first, in pages. New jobs are not chased."""
        after, left = 0, limit
        top = (await self.call("newest_job"))[0]["id"] or 0
        while left is None or left > 0:
            page = BATCH if left is None else min(BATCH, left)
            found = await self.call("matching_jobs", after=after, upto=top, limit=page, **filters)
            if not found:
                return
            ids = [row["id"] for row in found]
            after, left = ids[-1], None if left is None else left - len(ids)
            yield ids

    async def redrive(
        self,
        *,
        rate: float,
        entrypoint: str | None = None,
        queue: str | None = None,
        limit: int = 10_000,
    ) -> int:
        """Put failed jobs back, `rate` of them a second, oldest first; returns how many.

        They become due one after the other: nothing has to keep running meanwhile.
        """
        if not rate > 0:
            raise InvalidInput(f"rate={rate!r}: give jobs per second, above 0")
        if not 0 <= limit <= MOST:
            raise InvalidInput(f"limit={limit!r}: give a number from 0 to {MOST:,}")
        if limit > rate * LONGEST:
            raise InvalidInput(f"rate={rate!r}: the last of {limit} jobs is due in over 100 years")
        found = await self.call(
            "redrive", seconds=1 / rate, entrypoint=entrypoint, queue=queue, limit=limit
        )
        return int(found[0]["redriven"])


_STATES = {
    "cancel": ["ready", "deferred", "blocked", "running"],
    "retry": ["failed"],
    "delete": ["succeeded", "failed", "cancelled"],
}
