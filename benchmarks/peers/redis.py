"""A Redis server of our own, emptied before each run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import proc
from benchmarks.peers.peer import Failed, Peer

BINARY = shutil.which("redis-server") or "/usr/bin/redis-server"


@dataclass
class Store:
    """The emptied Redis, seen as `ground.Database` is."""

    dsn: str
    peer: Peer
    eye: Any
    server: int

    def cpu(self) -> float:
        """Seconds of CPU the server has used so far."""
        return proc.cpu([self.server])

    async def acked(self, total: int) -> int:
        """How many of `total` messages are neither waiting nor delivered without an answer."""
        return int(total - self.eye.llen("celery") - self.eye.hlen("unacked"))

    async def wal(self) -> float:
        """There is none."""
        return 0.0

    async def commits(self) -> int:
        """There are none."""
        return 0

    async def dead(self) -> int:
        """There are none."""
        return 0

    async def others(self) -> int:
        """Nobody to wait for."""
        return 0

    async def analyze(self) -> None:
        """Nothing to do."""


class Redis:
    """The server of the peers that keep jobs in Redis; it starts with the first of them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.started: tuple[int, int] | None = None

    @asynccontextmanager
    async def fresh(self, peer: Peer, deferred: int = 0) -> AsyncIterator[Store]:
        """Nothing in it."""
        import redis

        if deferred:
            raise Failed("not in Redis: a task with an eta waits in the worker's memory")
        self.started = self.started or self.stack.enter_context(serve())
        pid, port = self.started
        eye = redis.Redis(port=port)
        eye.flushall()
        yield Store(f"redis://127.0.0.1:{port}/0", peer, eye, pid)
        eye.close()


@contextlib.contextmanager
def serve() -> Iterator[tuple[int, int]]:
    """The server's pid and port, until the block ends."""
    if not Path(BINARY).exists():
        raise Failed("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [BINARY, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
             "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(port)
            yield process.pid, port
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait()


def _wait(port: int) -> None:
    """Until it answers. Raises redis.ConnectionError after five seconds."""
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    redis.Redis(port=port, retry=Retry(ConstantBackoff(0.05), 100)).ping()
