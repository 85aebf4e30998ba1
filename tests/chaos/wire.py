"""PostgreSQL's protocol, as far as a proxy must read it to know which verb goes by."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

SSL, GSS, CANCEL = 80877103, 80877104, 80877102
VERBS = {"INSERT INTO pgq_jobs": "enqueue", "pgq_enqueue": "enqueue", "pgq_claim": "claim",
         "pgq_finish": "finish"}  # fmt: skip


@dataclass
class Messages:
    """Cuts a stream into messages (type, body). Before `typed` they have no type byte."""

    typed: bool
    _rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every message that is complete by now."""
        self._rest += data
        while (head := 1 if self.typed else 0) + 4 <= len(self._rest):
            (size,) = struct.unpack_from("!i", self._rest, head)
            if len(self._rest) < head + size:
                return
            kind, body = self._rest[:head], self._rest[head + 4 : head + size]
            self._rest = self._rest[head + size :]
            yield kind, body


@dataclass
class Conversation:
    """One connection: which verb the client has sent last, and what the server has answered."""

    client: Messages = field(default_factory=lambda: Messages(typed=False))
    server: Messages = field(default_factory=lambda: Messages(typed=True))
    in_transaction: bool = False
    _refusals: int = 0
    _statements: dict[bytes, str] = field(default_factory=dict)
    _pending: str | None = None

    def sent(self, data: bytes) -> str | None:
        """The client sends this; returns the verb whose effect its answer will confirm."""
        confirmed = None
        for kind, body in self.client.feed(data):
            if not kind:
                self._start(body)
            elif kind == b"P":
                name, text = body.split(b"\0")[:2]
                self._statements[name] = text.decode(errors="replace")
            elif kind == b"B":
                confirmed = self._run(self._statements.get(body.split(b"\0")[1], "")) or confirmed
            elif kind == b"Q":
                confirmed = self._run(body.rstrip(b"\0").decode(errors="replace")) or confirmed
        return confirmed

    def answered(self, data: bytes) -> bool:
        """The server sends this; True when its answer is complete."""
        if self._refusals and data[:1] in (b"N", b"S"):  # one byte: no TLS here
            self._refusals -= 1
            data = data[1:]
        ready = False
        for kind, body in self.server.feed(data):
            if kind == b"Z":
                ready, self.in_transaction = True, body != b"I"
        return ready

    def _start(self, body: bytes) -> None:
        (code,) = struct.unpack_from("!i", body)
        if code in (SSL, GSS):
            self._refusals += 1
        elif code != CANCEL:
            self.client.typed = True

    def _run(self, text: str) -> str | None:
        """A verb outside a transaction is confirmed by its own answer, else by that of COMMIT."""
        found = next((verb for words, verb in VERBS.items() if words in text), None)
        if found is not None and self.in_transaction:
            self._pending = found
            return None
        if text.upper().startswith(("COMMIT", "ROLLBACK")):
            pending, self._pending = self._pending, None
            return pending if text.upper().startswith("COMMIT") else None
        return found
