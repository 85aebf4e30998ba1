"""A real server in a process of its own, on a Unix socket: no port to race for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import eventually, until

ROOT = Path(__file__).parents[2]


class Served:
    """`uvicorn` (or another command) serving one app; leads a process group of its own."""

    def __init__(
        self,
        app: str,
        dsn: str,
        socket: Path,
        arguments: Sequence[str] = (),
        *,
        command: Sequence[str] | None = None,
        environment: dict[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.socket = socket
        self.log = socket.with_suffix(".log")
        path = os.pathsep.join([str(cwd), str(ROOT), os.environ.get("PYTHONPATH", "")])
        words = command or ["uvicorn", "--uds", str(socket)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words, *arguments, app],
                cwd=cwd,
                env={**os.environ, "PGQ_DSN": dsn, "PYTHONPATH": path, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def client(self, **options: Any) -> Any:
        """An httpx client of this server."""
        import httpx

        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        return httpx.AsyncClient(transport=transport, base_url="http://app", timeout=30, **options)

    async def up(self, path: str = "/pgq/live") -> Served:
        """Wait until it answers."""
        import httpx

        async def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.output()}")
            try:
                async with self.client() as client:
                    return bool((await client.get(path)).status_code == 200)
            except httpx.TransportError:
                return False

        await eventually(answers, what=f"an answer from the server:\n{self.output()}")
        return self

    def send(self, number: signal.Signals) -> None:
        """A signal to the main process alone."""
        self.process.send_signal(number)

    async def ended(self, patience: float = 20.0) -> int:
        """Wait until the main process has ended; its return code."""

        async def over() -> bool:
            return self.process.poll() is not None

        try:
            await eventually(over, patience=patience, what="the end of the server")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        until(lambda: self.process.poll() is not None)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
