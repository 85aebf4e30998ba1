"""Workers under test: in this process, and as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pgq_core
from pgq_core import PgQueuer
from pgq_core.options import WorkerOptions
from pgq_core.worker import Worker, news, pace
from tests.support import eventually, until

if TYPE_CHECKING:
    import asyncpg

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(pgq_core.__file__).parent.parent
FAR = 60.0  # a poll this far away proves that something else woke the worker

Connection: TypeAlias = "asyncpg.Connection[Any]"


def sleep_far(monkeypatch: Any) -> None:
    """Workers with `idle_look=FAR` look twice within a second of their last job, then sleep far."""
    monkeypatch.setattr(pace, "GROWTH", 100)
    monkeypatch.setattr(news, "WATCH", FAR)


@asynccontextmanager
async def working(pgq: PgQueuer, **options: Any) -> AsyncIterator[Worker]:
    """A worker in this process for the length of the block; it is looking for jobs already."""
    worker = pgq.worker(WorkerOptions(**{"shutdown_timeout": 5.0, **options}))
    task = asyncio.get_running_loop().create_task(pgq.run_worker(worker))
    try:
        await eventually(lambda: looking(worker, task), what="the worker has started")
        yield worker
    finally:
        pgq.stop()
        await asyncio.wait_for(task, 20)


async def looking(worker: Worker, task: asyncio.Task[None]) -> bool:
    """Whether the worker has had its first look; raises what it died of."""
    if task.done():
        task.result()
        return True
    return hasattr(worker, "crew") and worker.crew.claimer.epoch != ""


async def asleep(worker: Worker, seconds: float = FAR / 3) -> None:
    """Wait until the worker is idle and means to sleep that long."""

    async def far() -> bool:
        left = worker.pace.next_look - time.monotonic()  # infinite while a claim is under way
        return seconds < left < 2 * FAR and not worker.pace.hungry

    await eventually(far, what="the worker sleeps")


async def bulk(connection: Connection, count: int, entrypoint: str = "work") -> None:
    """Many jobs in one INSERT."""
    await connection.execute(
        "INSERT INTO pgq_jobs (entrypoint) SELECT $1 FROM generate_series(1, $2)",
        entrypoint, count,
    )  # fmt: skip


async def finished(connection: Any, *ids: int) -> list[str]:
    """Wait until these jobs have their last outcome; their states, in order."""

    async def all_finished() -> list[str]:
        states = await states_of(connection, ids)
        ended = all(state in ("succeeded", "failed", "cancelled") for state in states)
        return states if ended else []

    states: list[str] = await eventually(all_finished, what=f"jobs {ids} are finished")
    return states


async def states_of(connection: Any, ids: Any) -> list[str]:
    """The states of these jobs, in order."""
    rows = await connection.fetch(
        "SELECT id, state FROM pgq_job_states WHERE id = ANY($1::bigint[])", list(ids)
    )
    states = {row["id"]: row["state"] for row in rows}
    return [states[id_] for id_ in ids]


async def in_state(connection: Any, id_: int, state: str) -> None:
    """Wait until the job stands there."""

    async def there() -> bool:
        return await states_of(connection, [id_]) == [state]

    await eventually(there, what=f"job {id_} is {state}")


async def outcomes(connection: Any, id_: int) -> list[str]:
    """The outcomes of a job's attempts, in order."""
    rows = await connection.fetch(
        "SELECT outcome FROM pgq_attempts WHERE job_id = $1 ORDER BY attempt", id_
    )
    return [row["outcome"] for row in rows]


async def held(connection: Any) -> int:
    """How many jobs stand in leases."""
    count: int = await connection.fetchval(
        "SELECT coalesce(sum(cardinality(job_ids)), 0)::int FROM pgq_leases"
    )
    return count


# -- processes ----------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line of the log that the processes share."""

    event: str
    job: int
    attempt: int
    pid: int
    at: float


class Logbook:
    """What the handlers said, whatever became of their processes: one write per line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, event: str | None = None, job: int | None = None) -> list[Line]:
        read = [
            Line(word, int(id_), int(attempt), int(pid), float(at))
            for word, id_, attempt, pid, at in map(str.split, self.path.read_text().splitlines())
        ]
        return [
            line for line in read
            if event in (None, line.event) and job in (None, line.job)
        ]  # fmt: skip

    def first(self, event: str, job: int | None = None) -> Line:
        """Wait for such a line."""
        found: list[Line] = until(lambda: self.lines(event, job), what=f"{event} of job {job}")
        return found[0]

    async def soon(self, event: str, job: int | None = None, count: int = 1) -> list[Line]:
        """The same without blocking the loop: wait for `count` such lines."""

        async def written() -> list[Line]:
            found = self.lines(event, job)
            return found if len(found) >= count else []

        lines: list[Line] = await eventually(written, what=f"{count} × {event} of job {job}")
        return lines

    def started_twice(self) -> list[tuple[int, int]]:
        """Attempts that began more than once."""
        counts = Counter((line.job, line.attempt) for line in self.lines("start"))
        return [key for key, count in counts.items() if count > 1]


class Processes:
    """Worker processes of one test; whatever is left is killed at its end."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn = dsn
        self.directory = directory
        self.log = Logbook(directory / "log")
        self.all: list[subprocess.Popen[bytes]] = []

    def spawn(self, patch: dict[str, Any] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start one; `options` are WorkerOptions, `patch` sets constants by their dotted names."""
        said = {
            "dsn": self.dsn,
            "log": str(self.log.path),
            "options": options,
            "patch": patch or {},
        }
        with (self.directory / f"stderr-{len(self.all)}").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(said)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        self.all.append(process)
        return process

    def stderr(self, process: subprocess.Popen[bytes]) -> str:
        """What it has complained about so far."""
        return (self.directory / f"stderr-{self.all.index(process)}").read_text(errors="replace")

    async def ready(self, connection: Any, count: int) -> list[int]:
        """Wait until so many live workers hold their lock; their worker ids."""

        async def enough() -> list[int]:
            rows = await connection.fetch(
                "SELECT worker_id FROM pgq_workers "
                "WHERE locked_at IS NOT NULL AND beat_at > now() - interval '1 minute' ORDER BY 1"
            )
            return [row["worker_id"] for row in rows] if len(rows) >= count else []

        ids: list[int] = await eventually(enough, what=f"{count} workers are registered")
        return ids

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, and wait until it is gone."""
        process.kill()
        process.wait(10)

    def stop(self, process: subprocess.Popen[bytes], patience: float = 20) -> int:
        """SIGTERM; its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(patience)

    def close(self) -> None:
        for process in self.all:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                self.kill(process)
