"""A TCP proxy between client and server that can break what passes through it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Forwards to `target`; `mute` drops answers, `freeze` holds everything, `reset` cuts."""

    target: tuple[str, int]
    port: int = 0
    muted: bool = False
    frozen: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _pipes: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self.frozen.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        self._pipes |= {writer, upstream}
        for source, sink, answers in ((reader, upstream, False), (upstream_reader, writer, True)):
            task = asyncio.ensure_future(self._pump(source, sink, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await source.read(65536):
                await self.frozen.wait()
                if answers and self.muted:
                    break  # the server did it; nobody hears of it
                sink.write(data)
                await sink.drain()
        sink.close()
        self._pipes.discard(sink)

    def reset(self) -> None:
        """Cut every connection, in the middle of whatever it carries."""
        for pipe in list(self._pipes):
            pipe.transport.abort()
        self._pipes.clear()

    async def lose_answers(self, seconds: float) -> None:
        """What is sent takes effect, its answer is lost and the connection cut."""
        self.muted = True
        await asyncio.sleep(seconds)
        self.muted = False

    async def black_hole(self, seconds: float) -> None:
        """Nothing passes, nothing is refused."""
        self.frozen.clear()
        await asyncio.sleep(seconds)
        self.frozen.set()

    async def stop(self) -> None:
        """Close everything."""
        self.frozen.set()
        self.reset()
        if self._server is not None:
            self._server.close()
