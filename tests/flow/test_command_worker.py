"""What the code declares holds for `pgq-core worker`, in several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pgq_core import PgQueuer
from tests.flow.processes import ROOT

JOBS = """
import asyncio, os, time
from pgq_core import PgQueuer

pgq = PgQueuer()
log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

async def nap(job):
    began = time.time()
    await asyncio.sleep(0.02)
    key = job.concurrency_key or "-"
    os.write(log, f"{job.entrypoint} {key} {job.id} {began} {time.time()} {os.getpid()}\\n".encode())

pgq.entrypoint("limited", concurrency_limit=2)(nap)
pgq.entrypoint("keyed")(nap)
pgq.entrypoint("rated", rate_limit="20/s")(nap)
pgq.entrypoint("shared")(nap)
"""

Run = tuple[int, float, float]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with `jobs.py`."""
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def worked(project: Path, dsn: str, *options: str) -> dict[tuple[str, str], list[Run]]:
    """Run two worker processes until nothing is left; (entrypoint, key) → (job, began, ended)."""
    done = subprocess.run(
        [sys.executable, "-m", "pgq_core", "worker", "jobs:pgq", "--processes", "2",
         "--until-empty", *options],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT), "PGQ_DSN": dsn},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for line in (project / "log").read_text().splitlines():
        name, key, job, began, ended, _ = line.split()
        runs[name, key].append((int(job), float(began), float(ended)))
    return {place: sorted(found, key=lambda run: run[1]) for place, found in runs.items()}


def most_at_once(runs: Sequence[Run]) -> int:
    """How many ran at the same moment, at the most."""
    return max(sum(began <= moment < ended for _, began, ended in runs) for _, moment, _ in runs)


async def test_limits_keys_and_rates(pgq: PgQueuer, database: str, project: Path) -> None:
    """Under `pgq-core worker --processes 2` a limit is not exceeded, jobs of a key run one by one in
    order, and a rate spaces starts."""
    enqueue = pgq.queries.enqueue
    await enqueue(["limited"] * 20)
    for key in ("ann", "bob"):
        await enqueue(["keyed"] * 10, concurrency_keys=key)
    await enqueue(["rated"] * 10)
    runs = worked(project, database)
    assert len(runs["limited", "-"]) == 20
    assert most_at_once(runs["limited", "-"]) <= 2
    for key in ("ann", "bob"):
        assert most_at_once(runs["keyed", key]) == 1
        order = [job for job, *_ in runs["keyed", key]]
        assert order == sorted(order)
        assert len(order) == 10
    rated = [began for _, began, _ in runs["rated", "-"]]
    assert len(rated) == 10
    assert rated[-1] - rated[0] > 0.3  # nine steps of 50 ms, less what the first may be late


async def test_shares_of_queues(pgq: PgQueuer, database: str, project: Path) -> None:
    """`--queues mail=1,default=3`: a process runs one job of `mail` at a time, and three others."""
    await pgq.queries.enqueue(["shared"] * 12, queues="mail")
    worked(project, database, "--queues", "mail=1,default=3")
    runs: dict[str, list[Run]] = defaultdict(list)
    for line in (project / "log").read_text().splitlines():
        _, _, job, began, ended, pid = line.split()
        runs[pid].append((int(job), float(began), float(ended)))
    assert sum(map(len, runs.values())) == 12
    assert all(most_at_once(found) == 1 for found in runs.values())


async def test_a_schedule_by_the_command_line(pgq: PgQueuer, database: str, project: Path) -> None:
    """A schedule that is added and run from the command line runs an entrypoint of the worker's."""

    def call(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "pgq_core", *arguments], cwd=project, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PGQ_DSN": database}, capture_output=True,
        )  # fmt: skip
        return done.stdout

    call("schedules", "add", "nightly", "@daily", "--entrypoint", "shared")
    job = json.loads(call("schedules", "run", "nightly", "--json"))["id"]
    worked(project, database, "--floor-share", "0.2", "--keep-failed", "forever", "--no-prune")
    assert (await pgq.queries.get_job(job)).state.value == "succeeded"
