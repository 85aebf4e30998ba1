"""What tests share: waiting for a condition, and databases on a server."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

PATIENCE = 20.0
LOOK_AGAIN = 0.01

_numbers = itertools.count(1)


def until(condition: Callable[[], Any], *, patience: float = PATIENCE, what: str = "") -> Any:
    """Wait until ``condition()`` is true and return it. For what sends no signal."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what or condition}")
        time.sleep(LOOK_AGAIN)
    return result


async def eventually(
    condition: Callable[[], Awaitable[Any]], *, patience: float = PATIENCE, what: str = ""
) -> Any:
    """The same for a coroutine function."""
    deadline = time.monotonic() + patience
    while not (result := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what or condition}")
        await asyncio.sleep(LOOK_AGAIN)
    return result


def run_apart(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end on a loop and thread of its own, whatever loop runs here."""
    failures: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:  # noqa: BLE001  (handed to the caller below)
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def with_database(dsn: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path="/" + quote(database, safe="")))


class Databases:
    """Creates and drops databases on one server; the name says which process made them."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def create(self, template: str | None = None) -> str:
        """A new database's DSN; a copy of the database ``template`` (a DSN), if given."""
        name = f"pgq_test_{os.getpid()}_{next(_numbers)}"
        copied = f' TEMPLATE "{_database_of(template)}"' if template else ""
        self._execute(f'CREATE DATABASE "{name}"{copied}')
        return with_database(self.dsn, name)

    def drop(self, dsn: str) -> None:
        """Drop it, whoever is still connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{_database_of(dsn)}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())


def _database_of(dsn: str) -> str:
    return urlsplit(dsn).path.lstrip("/")
