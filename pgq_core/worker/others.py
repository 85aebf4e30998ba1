"""Whether the others who hold jobs live: while one may be dead, a queue is not empty yet."""

from __future__ import annotations

from datetime import datetime

from pgq_core.worker.line import Line


class Others:
    """What a worker that drains knows of the others. One that lives looks after its jobs itself."""

    def __init__(self, worker_id: int, line: Line) -> None:
        self._worker_id = worker_id
        self._line = line
        self._beats: dict[int, datetime] = {}  # the one we saw first

    async def in_doubt(self) -> bool:
        """Whether somebody holds jobs without a sign of life: a session lock, or a new beat."""
        rows = await self._line.call("holders_in_doubt", worker=self._worker_id)
        newest = {row["worker_id"]: row["beat_at"] for row in rows}
        self._beats = {worker: self._beats.get(worker, beat) for worker, beat in newest.items()}
        return any(self._beats[worker] == beat for worker, beat in newest.items())
