"""The worker processes: start them, kill one, replace it, stop them all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass

from pgq_core.errors import PgqError
from pgq_core.queries import Queries

TARGET = "pgq_core.demo.tasks:pgq"
PATIENCE = 60.0


class DemoFailed(PgqError):
    """The demo cannot go on."""


@dataclass
class Member:
    """One worker process; it stops when the line that ties it to us breaks."""

    process: asyncio.subprocess.Process
    line: socket.socket
    worker_id: int = 0

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.returncode is None


class Fleet:
    """Workers as anybody would start them: `python -m pgq_core worker …`."""

    def __init__(self, queries: Queries, dsn: str | None, concurrency: int) -> None:
        self.queries = queries
        self.concurrency = concurrency
        self.members: list[Member] = []
        # What is set for the user's own workers is not meant for these.
        own = {k: v for k, v in os.environ.items() if not k.startswith("PGQ_WORKER_")}
        self._environment = {**own, "PGQ_SCHEMA": queries.schema}
        if dsn is not None:
            self._environment["PGQ_DSN"] = dsn
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in stop)

    async def start(self, count: int) -> list[Member]:
        """Start workers and wait until the database knows them."""
        fresh = [await self._spawn() for _ in range(count)]
        self.members += fresh
        await asyncio.wait_for(self._registered(fresh), PATIENCE)
        return fresh

    async def _spawn(self) -> Member:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pgq_core", "worker", TARGET,
                "--concurrency", str(self.concurrency), "--log-level", "warning",
                "--tether", str(theirs.fileno()),
                env=self._environment, pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                start_new_session=True,
            )  # fmt: skip
        return Member(process, ours)

    async def _registered(self, members: list[Member]) -> None:
        host = socket.gethostname()
        while not all(member.worker_id for member in members):
            known = {row["name"]: row["worker_id"] for row in await self.queries.workers()}
            for member in members:
                member.worker_id = known.get(f"{host}:{member.process.pid}", 0)
            self.check()
            await asyncio.sleep(0.02)

    def check(self) -> None:
        """Raise when a worker ended that nobody killed."""
        if not all(member.alive for member in self.members):
            raise DemoFailed(f"a worker ended by itself:\n{self.last_words()}")

    def last_words(self) -> str:
        """What the workers have written last."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:].strip()

    async def kill(self, member: Member) -> None:
        """SIGKILL, as the kernel's out-of-memory killer would."""
        member.process.kill()
        self.members.remove(member)
        await member.process.wait()
        member.line.close()

    async def stop(self) -> None:
        """Ask everybody to leave and wait."""
        for member in self.members:
            if member.alive:
                member.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(self._gone(member) for member in self.members))
        self._log.close()

    async def _gone(self, member: Member) -> None:
        try:
            await asyncio.wait_for(member.process.wait(), 10)
        except asyncio.TimeoutError:
            member.process.kill()
            await member.process.wait()
        member.line.close()
