"""Our end of the watchdog's pipe."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from pgq_core.embedded import watchdog
from pgq_core.embedded.cluster import clean_environment
from pgq_core.errors import EmbeddedServerError

STOP_PATIENCE = sum(patience for _, _, patience in watchdog.ESCALATION) + 5.0


class Keeper:
    """A running watchdog and the process id of its server.

    The server lives while our end of the pipe is open. The pipe closes on exec, so processes we
    start do not hold it; forked ones close it themselves.
    """

    def __init__(self, command: list[str], popen: dict[str, Any], temporary: Path, log: Path):
        options = {"command": command, "popen": popen, "temporary": str(temporary)}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, json.dumps(options)],
                bufsize=0,
                cwd="/",
                env=clean_environment(),  # and the server's; not an argument, which all can read
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                # Control-C in a terminal is for the program, not for the database below it.
                start_new_session=True,
            )
        self.forked = False
        _keepers.add(self)
        self.server_pid = self._read_server_pid(log)

    @property
    def alive(self) -> bool:
        """Whether the watchdog, and so its server, still runs."""
        return not self.forked and self._process.poll() is None

    def stop(self, mode: str) -> None:
        """Have the server stopped and wait until it is gone."""
        assert self._process.stdin is not None
        # A broken pipe: the server ended by itself, and the watchdog with it.
        with self._process.stdin as orders, contextlib.suppress(BrokenPipeError):
            orders.write(mode.encode())
        self._process.wait(STOP_PATIENCE)

    def let_go(self) -> None:
        """In a forked child: close our copy of the pipe, the server is the parent's."""
        self.forked = True
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _read_server_pid(self, log: Path) -> int:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            line = answers.readline()
        if not line:
            self.stop("immediate")
            raise EmbeddedServerError(f"The server's watchdog did not start:\n{log.read_text()}")
        return int(line)


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _let_go_of_all() -> None:
    for keeper in list(_keepers):
        keeper.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_all)
