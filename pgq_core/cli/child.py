"""One worker process, and the line that ties it to its parent."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Child:
    """A worker process, and our end of the line that ties it to us."""

    process: asyncio.subprocess.Process
    channel: socket.socket
    started: float = field(default_factory=time.monotonic)
    renewed: bool = False

    @classmethod
    async def start(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Run `python -m pgq_core worker …` in a process of its own."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pgq_core", "worker", *arguments,
                "--tether", str(theirs.fileno()),
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's ^C must reach them once: through us
            )  # fmt: skip
        return cls(process, ours)

    async def up(self) -> bool:
        """Wait until its worker is about to run; False when it ended before."""
        answer = await asyncio.get_running_loop().sock_recv(self.channel, 1)
        return bool(answer)

    def send(self, number: int) -> None:
        """Pass a signal on."""
        if self.process.returncode is None:
            self.process.send_signal(number)


def child_environment(dsn: str | None, schema: str | None) -> dict[str, str]:
    """Ours, with the database in it: a password does not belong into a list of processes."""
    named = {"PGQ_WORKER_DSN": dsn, "PGQ_WORKER_SCHEMA": schema}
    return {**os.environ, **{name: value for name, value in named.items() if value}}
