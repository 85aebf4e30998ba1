"""How many jobs may start now."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgq_core.worker.worker import Worker

PIPELINE = 200  # slots from which on claims overlap with the work


class Slots:
    """The free places of one worker, in all and by queue."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def free(self) -> int:
        """Free slots; none while we stop, while a suspect runs alone, while outcomes pile up
        unwritten, or while nobody hears our beats."""
        worker = self.worker
        options, crew = worker.options, worker.crew
        if worker.stopping or crew.suspects.holding or crew.silent:
            return 0
        if crew.flusher.backlog > 2 * options.concurrency + 1000:
            return 0
        free = options.concurrency - len(worker.book.running)
        if isinstance(options.queues, Mapping):
            free = min(free, sum(room for _, room in self.rooms()))
        if options.max_jobs is not None:
            free = min(free, options.max_jobs - crew.attempts.started)
        return min(free, options.batch_size or free)

    def rooms(self) -> list[tuple[str | None, int]]:
        """How many jobs may start: in all, or per queue where queues have shares, in any order."""
        queues = self.worker.options.queues
        if not isinstance(queues, Mapping):
            return [(None, self.worker.options.concurrency)]
        used = Counter(run.job.queue for run in self.worker.book.running)
        rooms: list[tuple[str | None, int]] = [
            (queue, max(0, share - used[queue])) for queue, share in queues.items()
        ]
        random.shuffle(rooms)
        return rooms

    def half(self) -> int:
        """With a backlog, half of the slots: one half is claimed while the other runs."""
        slots = self.worker.options.concurrency
        return slots if slots < PIPELINE else (slots + 1) // 2
