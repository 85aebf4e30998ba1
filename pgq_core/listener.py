"""The sentinel: a thread with a connection of its own that hears, beats and holds the lock.

It has its own event loop, so that a handler which blocks the worker's loop leaves the process
"alive, stalled" and not dead. On a direct connection it holds a session lock that PostgreSQL frees
the moment the process is gone. LISTEN is tested by notifying itself: behind a pooler in transaction
mode it would be accepted and deliver nothing; then we are "polling", take no lock, and say so. A
direct line (`connect`) beside the pooler brings both back. Where nothing arrives and no pooler
explains it, or on a line that was said to be direct, we poll too, but are "deaf": a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED, Connect
from pgq_core.errors import PgqError
from pgq_core.poolers import behind_pooler
from pgq_core.queries import Queries

log = logging.getLogger("pgq_core.listener")

Hear = Callable[[str, str], None]


@dataclass
class Identity:
    """Who this process is in the database."""

    worker_id: int
    key: int
    channel: str
    common: str


@dataclass
class Pulse:
    """What the worker's loop leaves here for the beats, and reads back."""

    ticked: float = field(default_factory=time.monotonic)
    beaten: float = field(default_factory=time.monotonic)
    running: int = 0
    listener: str = "starting"
    connections: int = 0


class Sentinel:
    """Start it, then read `pulse`; `hear(kind, payload)` is called in the worker's loop."""

    def __init__(
        self,
        queries: Queries,
        lease: float,
        info: dict[str, Any],
        hear: Hear,
        listen: bool = True,
        connect: Connect | None = None,
    ) -> None:
        self.queries = queries
        self.lease = lease
        self.interval = lease / 3
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.info = json.dumps(info)
        self.pulse = Pulse(listener="starting" if listen else "off")
        self.identity: Identity
        self._hear = hear
        self._listen = listen
        self._connect = connect or queries.driver.connect
        self._direct = connect is not None
        self._home = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ready: asyncio.Future[None] = self._home.create_future()
        self._thread = threading.Thread(target=self._main, name="pgq-sentinel", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event
        self._lost: asyncio.Event
        self._orders: list[str] = []

    @property
    def hears(self) -> bool:
        """Whether notifications arrive here."""
        return self.pulse.listener == "listening"

    async def start(self) -> Identity:
        """Register the process, take the lock, listen. Raises what the first connection raises."""
        self._thread.start()
        await self._ready
        return self.identity

    async def stop(self) -> None:
        """Close the connection, which frees the lock, and end the thread."""
        self._stop.set()
        self._poke()
        await asyncio.to_thread(self._thread.join, 10)

    def stamp(self) -> None:
        """Note in the database that a wake-up has arrived."""
        self._poke("stamp")

    def forward(self) -> None:
        """Pass a wake-up on to every idle worker."""
        self._poke("forward")

    def retake(self) -> None:
        """The server was restarted: its locks are gone, open a new session."""
        self._poke("retake")

    def _poke(self, *orders: str) -> None:
        """Wake our loop; orders are put down there, so that none is lost between two threads."""

        def wake() -> None:
            self._orders += orders
            self._wake.set()

        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(wake)

    def _tell(self, kind: str, payload: str = "") -> None:
        self._at_home(self._hear, kind, payload)

    def _at_home(self, call: Callable[..., Any], *args: Any) -> None:
        """Call something in the worker's loop, unless that loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._home.call_soon_threadsafe(call, *args)

    def _main(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            log.exception("the sentinel broke; without beats our jobs will be given to others")
            self._at_home(self._fail, error)

    async def _live(self) -> None:
        self._loop, self._wake, self._lost = (
            asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(),
        )  # fmt: skip
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                await self._session()
            except (*DISCONNECTED, asyncpg.PostgresError, PgqError) as error:
                if not self._ready.done():
                    self._at_home(self._fail, error)
                    return
                failures = 0 if time.monotonic() - started > 5 else failures + 1
                log.warning("lost the listening connection (%s: %s); reconnecting",
                            type(error).__name__, error)  # fmt: skip
                delay = min(5.0, 0.05 * 2 ** min(failures, 8)) * random.uniform(0.5, 1.0)
                await asyncio.to_thread(self._stop.wait, delay)
            except Exception as error:
                # Without beats our jobs would be given to others, so whatever it was: once more.
                log.exception("the listening session broke")
                if not self._ready.done():
                    self._at_home(self._fail, error)
                    return
                await asyncio.to_thread(self._stop.wait, 1)

    def _fail(self, error: BaseException) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)

    async def _session(self) -> None:
        """One connection's life: register or return, lock, listen, beat until it breaks."""
        connection = await asyncio.wait_for(self._connect(), 10)
        try:
            self._lost.clear()
            connection.add_termination_listener(lambda _: self._break())
            first = not hasattr(self, "identity")
            if first:
                row = (await self._call(connection, "register_worker", name=self.name,
                                        lease=self.lease, info=self.info))[0]  # fmt: skip
                self.identity = Identity(*row)
            # A line that was direct before takes the lock first: it is free now, and others look.
            locked = self.hears and await self._take_lock(connection)
            heard = await self._subscribe(connection) if self._listen else False
            locked = heard and (locked or await self._take_lock(connection))
            await self._beat(connection, locked=locked, relocked=True)
            self.pulse.connections += 1
            if first:
                self._at_home(self._ready.set_result, None)
            else:
                self._tell("reconnected")
            await self._serve(connection, heard, locked)
            await connection.close(timeout=2)
        finally:
            connection.terminate()

    async def _serve(self, connection: Any, heard: bool, locked: bool) -> None:
        while not self._stop.is_set():
            if self._lost.is_set():
                raise ConnectionError("the connection was closed")
            left = self.pulse.beaten + self.interval - time.monotonic()
            if left <= 0:
                relocked = heard and not locked and await self._take_lock(connection)
                locked = locked or relocked
                await self._beat(connection, locked=locked, relocked=relocked)
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except asyncio.TimeoutError:
                continue
            self._wake.clear()
            orders, self._orders = self._orders, []
            if "stamp" in orders:
                await self._call(connection, "stamp_woken")
            if "forward" in orders:
                await self._call(connection, "pass_on", worker=self.identity.worker_id)
            if "retake" in orders and not await self._holds(connection, locked):
                raise ConnectionError("the session lock is gone")

    async def _take_lock(self, connection: Any) -> bool:
        """Take the session lock without waiting: our last session may hold it for long yet, where
        the server has not noticed its end. Until then our beats alone say that we live.
        """
        for _ in range(3):  # whoever asks whether we live holds it for a moment
            if await connection.fetchval(
                "SELECT pg_try_advisory_lock($1)", self.identity.key, timeout=10
            ):
                return True
            await asyncio.sleep(0.01)
        return False

    async def _holds(self, connection: Any, locked: bool) -> bool:
        """Whether this session still holds the lock it should hold."""
        statement = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        return not locked or bool(await connection.fetchval(statement, timeout=10))

    async def _subscribe(self, connection: Any) -> bool:
        """LISTEN, then hear ourselves within 2 s; False where notifications do not arrive."""
        echo = asyncio.Event()
        token = os.urandom(8).hex()

        def receive(_c: Any, _pid: int, channel: str, payload: str) -> None:
            if payload == f"test {token}":
                echo.set()
            elif not payload.startswith("test "):
                own = channel == self.identity.channel
                self._tell("lane" if own else payload, payload if own else "")

        await connection.add_listener(self.identity.channel, receive)
        await connection.add_listener(self.identity.common, receive)
        await self._shout(connection, f"test {token}")
        try:
            await asyncio.wait_for(echo.wait(), 2)
        except asyncio.TimeoutError:
            await self._do_without(connection)
            return False
        self.pulse.listener = "listening"
        return True

    async def _do_without(self, connection: Any) -> None:
        """Poll; behind a pooler that is nobody's fault."""
        pooled = not self._direct and await behind_pooler(connection)
        state = "polling" if pooled else "deaf"
        if self.pulse.listener != state:
            why = "through this pooler" if pooled else "and no pooler explains it"
            log.warning("notifications do not arrive, %s; polling", why)
        self.pulse.listener = state
        await connection.execute("UNLISTEN *", timeout=10)

    async def _shout(self, connection: Any, message: str) -> None:
        """Notify ourselves. Behind a pooler from a connection beside: both statements on one would
        often meet the same server session, which hears itself while we would hear nobody else."""
        beside = await self._connect() if await behind_pooler(connection) else connection
        try:
            await beside.execute(
                "SELECT pg_notify($1, $2)", self.identity.channel, message, timeout=10
            )
        finally:
            if beside is not connection:
                await beside.close(timeout=2)

    async def _beat(self, connection: Any, *, locked: bool, relocked: bool) -> None:
        """Tell the database that we live. The clock starts before the statement is sent."""
        sent = time.monotonic()
        silent = sent - self.pulse.ticked
        ticking = self.pulse.connections > 0  # the worker's loop waits for our first beat
        stalled = silent if ticking and silent > max(1.0, self.interval) else 0.0
        if stalled:
            log.warning("the event loop has been blocked for %.1f s; its jobs go on", stalled)
        rows = await self._call(
            connection, "beat", worker=self.identity.worker_id, name=self.name, lease=self.lease,
            info=self.info, stalled=stalled, running=self.pulse.running,
            listener=self.pulse.listener, locked=locked, relocked=relocked,
        )  # fmt: skip
        self.pulse.beaten = sent
        age = rows[0]["age"]
        if age is None or age > self.lease:
            self._tell("outlived")

    async def _call(self, connection: Any, name: str, /, **values: Any) -> list[Any]:
        return await asyncio.wait_for(self.queries.call(name, connection, **values), 10)

    def _break(self) -> None:
        self._lost.set()
        self._wake.set()
