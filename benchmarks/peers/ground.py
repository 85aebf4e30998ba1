"""Where peers are measured: fresh databases on one PostgreSQL server, or an emptied Redis."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from benchmarks.peers import proc
from benchmarks.peers.job import payload
from benchmarks.peers.peer import Failed, Peer
from benchmarks.peers.run import call
from pgq_core.embedded import EmbeddedServer

COMMITS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
DEAD = "SELECT coalesce(sum(n_tup_del + n_tup_upd), 0)::bigint FROM pg_stat_user_tables"
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
FILLED = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
  AND pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) > 0
"""
_numbers = itertools.count(1)


@dataclass
class Database:
    """A fresh database of one peer, and a connection to look at it."""

    dsn: str
    peer: Peer
    name: str
    eye: Any
    server: int
    waiting: int = 0

    def cpu(self) -> float:
        """Seconds of CPU the server has used so far."""
        return proc.cpu(proc.with_children(self.server))

    async def acked(self, total: int) -> int:
        """How many of `total` enqueued jobs the database says are done."""
        if self.peer.get("ACKED"):
            return int(await self.eye.fetchval(self.peer.get("ACKED")))
        return total + self.waiting - await self.left()

    async def left(self) -> int:
        """For a peer that deletes what is done: the rows that are still there."""
        query = self.peer.get("LEFT")
        return int(await self.eye.fetchval(query)) if query else 0

    async def wal(self) -> float:
        """Bytes of WAL the server has written so far."""
        return float(await self.eye.fetchval(WAL))

    async def commits(self) -> int:
        """Transactions in this database so far."""
        return int(await self.eye.fetchval(COMMITS, self.name))

    async def dead(self) -> int:
        """Row versions that have died so far; exact once nobody else is connected."""
        return int(await self.eye.fetchval(DEAD))

    async def others(self) -> int:
        """How many others are connected."""
        return int(await self.eye.fetchval(OTHERS))

    async def analyze(self) -> None:
        """What autovacuum would have done by now; it leaves empty tables alone, so do we."""
        for row in await self.eye.fetch(FILLED):
            await self.eye.execute(f"VACUUM (ANALYZE) {row['name']}")

    @asynccontextmanager
    async def pin(self) -> AsyncIterator[None]:
        """A snapshot held by somebody else for the length of the block."""
        holder = await asyncpg.connect(self.dsn)
        try:
            await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await holder.fetchval("SELECT count(*) FROM pg_class")
            yield
        finally:
            await holder.close()


@dataclass
class Postgres:
    """The server of all peers that keep jobs in PostgreSQL."""

    server: EmbeddedServer
    templates: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def fresh(self, peer: Peer, deferred: int = 0) -> AsyncIterator[Database]:
        """A database with the peer's tables, and so many jobs that are due tomorrow."""
        template = self.templates.get(peer.name) or await self._template(peer)
        name = f"peers_{peer.name}_{next(_numbers)}"
        await self._admin(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            eye = await asyncpg.connect(self.server.dsn(name))
            if deferred:
                body = json.dumps(payload(0))
                done = await eye.execute(peer.get("DEFER"), body, deferred, timeout=120)
                if done != f"INSERT 0 {deferred}":
                    raise Failed(f"the deferred rows: {done}")
            database = Database(self.server.dsn(name), peer, name, eye, self.server.pid)
            database.waiting = await database.left()
            yield database
            await eye.close()
        finally:
            await self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    async def _template(self, peer: Peer) -> str:
        name = f"peers_{peer.name}"
        await self._admin(f"DROP DATABASE IF EXISTS {name}")
        await self._admin(f"CREATE DATABASE {name}")
        await call(peer, "prepare", dsn=self.server.dsn(name))
        self.templates[peer.name] = name
        return name

    async def _admin(self, text: str) -> None:
        connection = await asyncpg.connect(self.server.dsn())
        await connection.execute(text)
        await connection.close()
