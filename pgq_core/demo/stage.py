"""Where the demo happens: which database, which schema, and what is cleared away afterwards."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from pgq_core.app import PgQueuer
from pgq_core.db import hide_password
from pgq_core.demo.files import Files
from pgq_core.demo.fleet import Fleet
from pgq_core.demo.report import Report
from pgq_core.demo.screen import Screen
from pgq_core.demo.show import Show
from pgq_core.embedded import EmbeddedServer
from pgq_core.queries import Queries
from pgq_core.sql import quote

LIBPQ = ("PGHOST", "PGDATABASE", "PGSERVICE")


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for. `dsn=None`: the environment's database, else a server of
    our own."""

    dsn: str | None = None
    workers: int = 3
    concurrency: int = 8
    kill: bool = True
    keep: bool = False

    @property
    def own_server(self) -> bool:
        """Whether nobody has named a database."""
        named = self.dsn or os.environ.get("PGQ_DSN") or os.environ.get("DATABASE_URL")
        return not (named or any(os.environ.get(name) for name in LIBPQ))


def perform(wishes: Wishes, files: Files, screen: Screen) -> Report:
    """The whole demo."""
    with database(wishes, screen) as dsn:
        return asyncio.run(play(wishes, dsn, files, screen))


@contextmanager
def database(wishes: Wishes, screen: Screen) -> Iterator[str | None]:
    """The DSN to use; None for what the environment says."""
    if not wishes.own_server:
        shown = wishes.dsn or os.environ.get("PGQ_DSN") or os.environ.get("DATABASE_URL")
        screen.say(f"database: {hide_password(shown) if shown else 'as in the PG* variables'}")
        yield wishes.dsn
        return
    screen.say("starting a temporary PostgreSQL server")
    with EmbeddedServer() as server:
        yield server.dsn()


async def play(wishes: Wishes, dsn: str | None, files: Files, screen: Screen) -> Report:
    """Everything that needs the loop; a signal ends it in order."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with installed(wishes, dsn, screen) as queries:
        fleet = Fleet(queries, dsn, wishes.concurrency)
        try:
            return await Show(queries, fleet, files, screen).run(wishes.workers, wishes.kill)
        finally:
            await fleet.stop()


@asynccontextmanager
async def installed(wishes: Wishes, dsn: str | None, screen: Screen) -> AsyncIterator[Queries]:
    """pgq in a schema that nobody else can have, and that is dropped afterwards."""
    schema = f"pgq_demo_{secrets.token_hex(4)}"
    pgq = PgQueuer(schema=schema)
    async with pgq.connected(dsn, timeout=10):
        driver = pgq.queries.driver
        try:
            await pgq.queries.initialize()
            version = (await pgq.queries.call("demo_server"))[0]["version"]
            screen.say(f"PostgreSQL {version}, schema {schema}")
            yield pgq.queries
        finally:
            if wishes.keep:
                screen.say(f"the jobs are still there: pgq-core --schema {schema} stats")
            elif not wishes.own_server:
                await driver.execute(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")
