"""Keeps one PostgreSQL server, and stops it when whoever holds the other end of stdin goes away.

A program of its own: ``python -I -S watchdog.py OPTIONS``. Whichever way the starting process
ends, kill -9 included, the kernel closes its end of the pipe. A word on stdin says how to stop;
end of file without one means fast, and that the temporary directory goes too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from typing import Any

ESCALATION = (
    ("fast", signal.SIGINT, 30.0),
    ("immediate", signal.SIGQUIT, 10.0),
    ("kill", signal.SIGKILL, 10.0),
)


def main(argument: str) -> int:
    """Run the server until it ends or we are told, and pass on the process id first."""
    options: dict[str, Any] = json.loads(argument)
    child_ended = _listen_to_signals()
    server = subprocess.Popen(
        options["command"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        **options["popen"],
    )
    order: str | None = "fast"
    try:
        # Its reader may be gone already; then stdin says so.
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), f"{server.pid}\n".encode())
        order = _wait_for_order(server, child_ended)
    finally:
        _stop(server, order or "fast")
    if order == "":
        shutil.rmtree(options["temporary"], ignore_errors=True)
    return 0


def _listen_to_signals() -> int:
    """A descriptor that becomes readable when a child ends."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    return reader


def _wait_for_order(server: subprocess.Popen[bytes], child_ended: int) -> str | None:
    """How to stop: empty when the other end is gone, None when the server ended by itself."""
    stdin = sys.stdin.fileno()
    while server.poll() is None:
        readable, _, _ = select.select([stdin, child_ended], [], [])
        if stdin in readable:
            return os.read(stdin, 100).decode()
        os.read(child_ended, 100)
    return None


def _stop(server: subprocess.Popen[bytes], order: str) -> None:
    """As told, then ever less politely."""
    names = [name for name, _, _ in ESCALATION]
    for _, number, patience in ESCALATION[names.index(order) :]:
        if server.poll() is not None:
            return
        server.send_signal(number)
        try:
            server.wait(patience)
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
