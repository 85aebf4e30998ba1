"""Hear that jobs have ended, instead of asking ever again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED, Connection
from pgq_core.errors import DatabaseUnreachable, PgqError
from pgq_core.poolers import behind_pooler

log = logging.getLogger("pgq_core.queries")

PATIENCE = 0.25  # seconds until a connection is worth while
WISH_MS, RENEW = 10_000, 4.0  # for so long finish tells us; we say it again after so many seconds


class Ear:
    """One connection for all who wait here, open while somebody waits for long.

    `expect` says on a connection that somebody waits, and gives the channel. Where nothing can be
    heard (a pooler, missing privileges) who waits has to look, as in any case now and then.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        expect: Callable[[Connection, int], Awaitable[str]],
    ) -> None:
        self._connect = connect
        self._expect = expect
        self._events: dict[int, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event
        self._useless = False

    @asynccontextmanager
    async def listening(self, job_id: int) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the job may have ended."""
        event = asyncio.Event()
        self._events.setdefault(job_id, set()).add(event)
        if not self._useless and (self._task is None or self._task.done()):
            self._stop = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._live(self._stop))
        try:
            yield event
        finally:
            self._events[job_id].discard(event)
            if not self._events[job_id]:
                del self._events[job_id]
            if not self._events:
                await self._close()

    async def _close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await asyncio.wait([task], timeout=5)

    async def _live(self, stop: asyncio.Event) -> None:
        if await within(stop, PATIENCE):
            return
        try:
            connection = await asyncio.wait_for(self._connect(), 10)
            try:
                await self._hear(connection, stop)
                await connection.close(timeout=2)
            finally:
                connection.terminate()
        except (*DISCONNECTED, DatabaseUnreachable) as error:
            log.debug("results are polled for: %s", error)  # the next who waits tries again
        except (asyncpg.PostgresError, PgqError) as error:
            log.info("results are polled for from now on: %s", error)
            self._useless = True

    async def _hear(self, connection: Connection, stop: asyncio.Event) -> None:
        if await behind_pooler(connection):
            self._useless = True
            return
        await connection.add_listener(await self._expect(connection, WISH_MS), self._heard)
        self._ring(list(self._events))  # what ended before we heard anything
        while not await within(stop, RENEW):
            await self._expect(connection, WISH_MS)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        """Ids of jobs that have ended; none when there were too many to name."""
        self._ring([int(id_) for id_ in payload.split(",")] if payload else list(self._events))

    def _ring(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            for event in self._events.get(job_id, ()):
                event.set()


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; False when the time is over."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
