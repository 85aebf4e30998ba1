"""What the database says, once everything is quiet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOBS = "SELECT id, entrypoint, concurrency_key, state FROM pgq_job_states"
ATTEMPTS = "SELECT job_id, attempt, outcome, worker_id, error ->> 'type' AS error FROM pgq_attempts"
EFFECTS = "SELECT job_id, count(*) FROM chaos_effects GROUP BY job_id"
LAST = ("succeeded", "failed", "cancelled")
WAITING = ("deferred", "ready", "blocked", "running")
KILLED = "WorkerLost"


@dataclass
class Facts:
    """Its rows."""

    jobs: dict[int, Any]
    attempts: list[Any]
    effects: dict[int, int]

    @classmethod
    async def read(cls, connection: Any) -> Facts:
        """Everything."""
        jobs = {row["id"]: row for row in await connection.fetch(JOBS)}
        return cls(jobs, await connection.fetch(ATTEMPTS), dict(await connection.fetch(EFFECTS)))

    def write(self, folder: Path) -> None:
        """Next to the oracle's file, for whoever looks for the reason."""
        for name, found in (("jobs", self.jobs.values()), ("attempts", self.attempts)):
            lines = [json.dumps(dict(row), default=str) for row in found]
            (folder / name).write_text("\n".join(lines))

    def named(self, *entrypoints: str) -> set[int]:
        """The jobs of these entrypoints."""
        return {id_ for id_, job in self.jobs.items() if job["entrypoint"] in entrypoints}

    @property
    def finished(self) -> set[int]:
        """The jobs that are over."""
        return {id_ for id_, job in self.jobs.items() if job["state"] in LAST}

    @property
    def waiting(self) -> set[int]:
        """The jobs that were not finished when patience ended."""
        return {id_ for id_, job in self.jobs.items() if job["state"] in WAITING}

    @property
    def killers(self) -> set[int]:
        """The jobs that failed because their workers died."""
        return {
            row["job_id"]
            for row in self.attempts
            if row["outcome"] == "failed" and row["error"] == KILLED
        }

    @property
    def cut(self) -> dict[int, set[int]]:
        """Job → the attempts whose worker was lost, or gave them back."""
        found: dict[int, set[int]] = {}
        for row in self.attempts:
            if row["outcome"] in ("lost", "interrupted") or row["error"] == KILLED:
                found.setdefault(row["job_id"], set()).add(row["attempt"])
        return found
