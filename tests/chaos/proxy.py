"""A TCP proxy between client and server that can break what passes through it."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

from tests.chaos.link import Link


@dataclass
class Proxy:
    """Forwards to `target`. Orders to lose or tear an answer are carried out once each."""

    target: tuple[str, int]
    port: int = 0
    done: Counter[str] = field(default_factory=Counter)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _orders: list[tuple[str, str]] = field(default_factory=list)
    _links: set[Link] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        await self._open.wait()
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, upstream, self._open, self._ordered)
        self._links.add(link)
        task = asyncio.ensure_future(self._carry(link, reader, upstream_reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, link: Link, client: Reader, server: Reader) -> None:
        """Both ways, until both ends have ended."""
        await asyncio.gather(link.ask(client), link.answer(server))
        self._links.discard(link)

    def _ordered(self, verb: str) -> str | None:
        """What is to happen to this verb's answer."""
        for order in self._orders:
            if order[0] == verb:
                self._orders.remove(order)
                self.done[f"{order[1]} {verb}"] += 1
                return order[1]
        return None

    # -- what can be broken -------------------------------------------------------------------

    def order(self, verb: str, what: str) -> None:
        """Of the next answer to this verb, "lose" all or "tear" half; the server has done it."""
        self._orders.append((verb, what))

    def forget(self, verb: str, what: str) -> None:
        """Nobody has used that verb meanwhile: no matter."""
        with contextlib.suppress(ValueError):
            self._orders.remove((verb, what))

    def reset(self) -> None:
        """Cut every connection, in the middle of whatever it carries."""
        self._cut(set(self._links))

    @contextlib.asynccontextmanager
    async def half_open(self) -> AsyncIterator[None]:
        """For the length of the block the connections there are lead nowhere; new ones work. The
        server learns of it at the end."""
        dead = {link for link in self._links if not link.dead}
        for link in dead:
            link.dead = True
        try:
            yield
        finally:
            self._cut(dead)

    @contextlib.contextmanager
    def black_hole(self) -> Iterator[None]:
        """Nothing passes, nothing is refused; afterwards it all arrives."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def _cut(self, links: Iterable[Link]) -> None:
        for link in links:
            link.cut()

    async def stop(self) -> None:
        """Close everything."""
        self._open.set()
        self.reset()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
