"""The processes: each sits on a seat, and when it ends, however that was, another takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.release import NEXT, OUTDATED

Process = asyncio.subprocess.Process
SHIFTED = Path(__file__).parent / "shifted"


@dataclass
class Seat:
    """One place for a process. `command` says what to start; `road`, how it reaches the server."""

    command: Callable[[Seat], list[str]]
    number: int
    road: str
    release: int = 1
    clock: float = 0.0
    process: Process | None = None
    started: int = 0
    deaths: int = 0
    closing: bool = False
    _life: asyncio.Task[None] | None = None
    _new: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """The process that sits here now, or sat here last."""
        return self.process.pid if self.process is not None else -1

    @property
    def sits(self) -> bool:
        """Whether the process has not ended."""
        return self.process is not None and self.process.returncode is None

    def open(self) -> None:
        """Start, and start again, until closed."""
        self._life = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        while not self.closing:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "ignore", "-m", *self.command(self), env=self._environment()
            )
            self.started += 1
            self._new.set()
            code = await self.process.wait()
            self.deaths += code < 0 and not self.closing
            self.release = NEXT if code == OUTDATED else self.release

    def _environment(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
        if not self.clock:
            return given
        path = os.pathsep.join(filter(None, [str(SHIFTED), given.get("PYTHONPATH")]))
        return {**given, "CHAOS_CLOCK": str(self.clock), "PYTHONPATH": path}

    def signal(self, how: signal.Signals) -> None:
        """Send a signal to whoever sits here."""
        if self.process is not None and self.sits:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)

    async def replace(self, how: signal.Signals) -> None:
        """Send a signal that ends the process, and wait for the next one."""
        self._new.clear()
        self.signal(how)
        await self._new.wait()

    async def close(self, how: signal.Signals, patience: float = 20) -> None:
        """End the process for good."""
        self.closing = True
        self.signal(signal.SIGCONT)
        self.signal(how)
        if self._life is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._life), patience)
            except asyncio.TimeoutError:
                self.signal(signal.SIGKILL)
                await self._life
