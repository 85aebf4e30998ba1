"""pgq leaves no trace in a server session that others use after it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pgq_core import Context, Job, PgQueuer
from pgq_core.embedded import EmbeddedServer
from tests.poolers.bouncer import Bouncer
from tests.poolers.workers import working
from tests.support import eventually

ENTRY = re.compile(
    r"^\d{4}-\d\d-\d\d .*? \[(\d+)\] LOG:  (?:statement|execute [^:]*): ", re.MULTILINE
)
SESSION_WIDE = re.compile(
    r"^\s*(SET\s+(?!LOCAL)|RESET|DISCARD|LOAD|PREPARE|DECLARE|CREATE\s+TEMP)"
    r"|set_config\([^)]*false\)|pg_advisory_lock\(",
    re.IGNORECASE,
)


@pytest.fixture
def talkative_server() -> Iterator[EmbeddedServer]:
    """A server that logs every statement."""
    with EmbeddedServer(settings={"log_statement": "all", "fsync": "off"}) as server:
        yield server


async def test_no_session_settings(talkative_server: EmbeddedServer, pgbouncer: str) -> None:
    """On pooled connections pgq sets nothing for the session: no GUC, no lock, no RESET ALL."""
    bouncer = Bouncer(pgbouncer, talkative_server.dsn(), "transaction")
    try:
        await live_a_little(bouncer.dsn(talkative_server.dsn()))
    finally:
        bouncer.stop()
    said = statements(talkative_server.log)
    assert any("pgq_claim" in statement for statement in said)
    assert any("pgq_finish" in statement for statement in said)
    # PgBouncer itself brings a server session up to what the client asked for.
    own = [s for s in said if not re.match(r"SET (client_encoding|DateStyle|TimeZone|stand)", s)]
    assert [statement for statement in own if SESSION_WIDE.search(statement)] == []


def statements(log: str) -> list[str]:
    """Every statement in the log, without those of transactions that were rolled back."""
    parts = ENTRY.split(log)[1:]
    kept: list[str] = []
    open_transactions: dict[str, list[str]] = {}
    for pid, statement in zip(parts[::2], parts[1::2], strict=True):
        if statement.startswith("BEGIN"):
            open_transactions[pid] = []
        elif statement.startswith(("ROLLBACK", "COMMIT")):
            done = open_transactions.pop(pid, [])
            kept += done if statement.startswith("COMMIT") else []
        else:
            open_transactions.get(pid, kept).append(statement)
    return kept


async def live_a_little(dsn: str) -> None:
    """Install, enqueue, work, retry, complete in a transaction, cancel, prune."""
    async with PgQueuer.connect(dsn) as pgq:
        await pgq.queries.initialize()

        @pgq.entrypoint("work", transactional=True, backoff=0)
        async def work(job: Job, context: Context) -> None:
            if job.attempt == 1:
                raise RuntimeError("once")
            async with context.transaction() as connection:
                await connection.fetchval("SELECT 1")

        job = await pgq.enqueue("work", unique_key="k")
        async with working(pgq):
            await eventually(lambda: finished(pgq, job), what="the job is done")
        await pgq.queries.cancel([job])
        await pgq.queries.prune()


async def finished(pgq: PgQueuer, job: int) -> bool:
    """Whether it has its last outcome."""
    return (await pgq.queries.get_job(job)).state.finished
