"""What the queries need of a connection or a pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Connection = Any  # asyncpg.Connection or its pool proxy; asyncpg ships no types of its own
Connect = Callable[[], Awaitable[Connection]]


class Driver(Protocol):
    """What the queries need: run a statement, hold a transaction, open a new connection."""

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        """Run one statement and return its rows."""

    async def execute(self, text: str, *args: Any) -> str:
        """Run one statement, or a script when there are no arguments."""

    @property
    def in_transaction(self) -> bool:
        """Whether statements run in a transaction that the caller has open."""

    def transaction(self) -> Any:
        """An async context manager that gives a connection inside a transaction."""

    async def connect(self) -> Connection:
        """Open a connection to the same database that belongs to the caller alone."""
