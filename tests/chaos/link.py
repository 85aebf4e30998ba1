"""One client's connection as the proxy carries it, and what can befall its answers."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.wire import Conversation

AT_ONCE = 65536  # bytes


@dataclass(eq=False)
class Link:
    """`gate` is shut while nothing may pass; `ordered` says what is to happen to a verb's answer;
    `doom` is that of the answer that comes next."""

    client: Writer
    server: Writer
    gate: asyncio.Event
    ordered: Callable[[str], str | None]
    talk: Conversation = field(default_factory=Conversation)
    doom: str | None = None
    dead: bool = False  # half-open: what is sent is gone, and nobody is told

    async def ask(self, source: Reader) -> None:
        """Carry what the client sends to the server, until one of them has ended."""
        with contextlib.suppress(OSError):
            while data := await source.read(AT_ONCE):
                await self.gate.wait()
                if not self.dead:
                    verb = self.talk.sent(data)
                    if verb is not None and self.doom is None:
                        self.doom = self.ordered(verb)
                    await forward(data, self.server)
        self.end(self.server)

    async def answer(self, source: Reader) -> None:
        """Carry what the server sends to the client, until one of them has ended."""
        with contextlib.suppress(OSError):
            while data := await source.read(AT_ONCE):
                await self.gate.wait()
                complete = self.talk.answered(data)
                if self.dead:
                    continue
                if self.doom is None:
                    await forward(data, self.client)
                elif self.spoil(data, complete):
                    break
        self.end(self.client)

    def spoil(self, data: bytes, complete: bool) -> bool:
        """Send half of this, or nothing until the server has said it all; True when that was it."""
        if self.doom == "tear":
            self.client.write(data[: max(1, len(data) // 2)])
        if self.doom == "tear" or complete:
            # Half of an answer must arrive before the end does.
            asyncio.get_running_loop().call_later(0.005, self.cut)
            return True
        return False

    def end(self, other: Writer) -> None:
        """One side has ended: so does the other, unless it cannot know."""
        if not self.dead:
            other.close()

    def cut(self) -> None:
        """Both ends learn at once that it is over."""
        for end in (self.client, self.server):
            end.transport.abort()


async def forward(data: bytes, to: Writer) -> None:
    """Send, no faster than it is read."""
    to.write(data)
    await to.drain()
