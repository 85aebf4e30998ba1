"""A fresh database per test: copies of a template, which take a few hundredths of a second."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote as percent
from urllib.parse import urlsplit

import asyncpg

from pgq_core.app import PgQueuer
from pgq_core.db import plain_dsn
from pgq_core.sql import quote

Prepare = Callable[[str], Coroutine[Any, Any, None]]


async def install(dsn: str) -> None:
    """Install pgq's tables."""
    async with PgQueuer.connect(dsn) as pgq:
        await pgq.queries.initialize()


class Databases:
    """Databases on one server, whose DSN must be that of a role that may create some.

    `prepare` fills the template, given its DSN, before it is first copied.
    """

    def __init__(self, dsn: str, prepare: Prepare = install) -> None:
        self.dsn = dsn
        self._prepare = prepare
        self._numbers = itertools.count()
        self._template: str | None = None

    def create(self) -> str:
        """A new copy of the template; its DSN."""
        if self._template is None:
            self._template = self._create("")
            apart(self._prepare(self._template))
        return self._create(f" TEMPLATE {quote(name_in(self._template))}")

    def drop(self, dsn: str) -> None:
        """Remove it, whoever is still connected."""
        self._execute(f"DROP DATABASE IF EXISTS {quote(name_in(dsn))} WITH (FORCE)")

    def close(self) -> None:
        """Remove the template."""
        if self._template is not None:
            self.drop(self._template)
            self._template = None

    def _create(self, origin: str) -> str:
        name = f"pgq_testing_{os.getpid()}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {quote(name)}{origin}")
        scheme, netloc, _, query, _ = urlsplit(self.dsn)
        # Not by urlunsplit(), which leaves the two slashes out where no host is named.
        return f"{scheme}://{netloc}/{percent(name)}" + (f"?{query}" if query else "")

    def _execute(self, statement: str) -> None:
        async def body() -> None:
            connection = await asyncpg.connect(plain_dsn(self.dsn))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        apart(body())


def name_in(dsn: str) -> str:
    """The database's name."""
    return urlsplit(dsn).path.lstrip("/")


def apart(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop and thread of its own, whatever loop runs here."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()
