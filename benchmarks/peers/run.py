"""Processes of a peer: a call that answers, and a worker that runs until it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import job, proc
from benchmarks.peers.peer import Failed, Peer

PATIENCE = 60.0


async def call(peer: Peer, verb: str, **options: Any) -> Any:
    """Run one verb in a process of its own; its answer. Raises Failed with its last words."""
    process = await asyncio.create_subprocess_exec(
        *peer.command, verb, json.dumps(options),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    except asyncio.TimeoutError as error:
        process.kill()
        raise Failed(f"{verb} took more than {PATIENCE:.0f} s") from error
    if process.returncode:
        raise Failed(f"{verb}: {_last(err)}")
    lines = out.decode().strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@dataclass
class Worker:
    """A worker process, and the file in which its jobs leave their lines."""

    process: asyncio.subprocess.Process
    log: Path
    errors: Path

    def cpu(self) -> float:
        """Seconds of CPU it has used so far, its children included."""
        return proc.cpu(proc.of_session(self.process.pid))

    def memory(self) -> float:
        """Megabytes it holds now, its children included."""
        return proc.memory(proc.of_session(self.process.pid))

    def ran(self) -> int:
        """How many jobs have run."""
        return job.count(self.log)

    async def until(self, check: Callable[[], Awaitable[bool]], limit: float = PATIENCE) -> bool:
        """Wait for that; False when the time is over. Raises Failed if the worker dies."""
        end = time.monotonic() + limit
        while not await check():
            if self.process.returncode is not None:
                raise Failed(f"worker: {_last(self.errors.read_bytes())}")
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.01)
        return True

    async def until_ran(self, count: int, limit: float = PATIENCE) -> bool:
        """Wait until so many have run."""

        async def enough() -> bool:
            return self.ran() >= count

        return await self.until(enough, limit)


@asynccontextmanager
async def worker(peer: Peer, dsn: str, folder: Path, **more: str) -> AsyncIterator[Worker]:
    """A worker of this peer, with `more` in its environment; killed at the end, its database is
    thrown away anyway."""
    log, errors = folder / "log", folder / f"errors{time.monotonic_ns()}"
    with errors.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *peer.command, "work", json.dumps({"dsn": dsn}),
            stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, "PGQ_PEERS_LOG": str(log), **more},
        )  # fmt: skip
    try:
        yield Worker(process, log, errors)
    finally:
        await kill(process)


async def kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL it and its children, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _last(output: bytes) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "ended without a word")[:200]
