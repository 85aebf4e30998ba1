"""What happens to jobs before they are written."""

from __future__ import annotations

from collections.abc import Sequence

from pgq_core.app.base import Base
from pgq_core.errors import UnknownEntrypoint
from pgq_core.models import Fellows, JobRow, NewJob, row_of


class Preparing(Base):
    """Fills in, checks and encodes; the same whether the caller awaits or blocks."""

    def prepare(self, job: NewJob, *, check: bool = True, fellows: Sequence[NewJob] = ()) -> JobRow:
        """Fill in what the entrypoint says, run the hooks, check and encode."""
        for hook in self.hooks:
            job = hook.enqueueing(job)
        entry, limit = self.registry.entrypoints.get(job.entrypoint), self.max_payload
        if entry is None:
            if check and self.registry.entrypoints:
                raise UnknownEntrypoint(job.entrypoint, self.registry.entrypoints)
            return row_of(job, max_payload=limit, fellows=fellows)
        options = entry.options
        return row_of(
            job, max_payload=limit, fellows=fellows, queue=options.queue, priority=options.priority
        )

    def prepare_all(self, fellows: Fellows, check: bool) -> list[JobRow]:
        """The same for every job of one call."""
        return [self.prepare(job, check=check, fellows=fellows) for job in fellows]
