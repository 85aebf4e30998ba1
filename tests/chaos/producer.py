"""A producer: ordinary transactions, some rolled back, some committed late and out of order."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import asyncpg

from pgq_core.db import DISCONNECTED
from tests.chaos.oracle import Log

INSERT = """
INSERT INTO pgq_jobs (entrypoint, priority, concurrency_key, run_at)
VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 second')
RETURNING id
"""
NAMES = ("quick", "quick", "slow", "slow", "plain", "flaky", "once", "keyed", "keyed", "inner")
DELAYS = (None, None, None, None, 0.1, 1.0)


async def insert(connection: Any, chance: random.Random) -> tuple[int, bool]:
    """One job; its id, and whether it may start at once: due, with no key and nothing before it but
    its like."""
    name, delay = chance.choice(NAMES), chance.choice(DELAYS)
    key = f"key {chance.randrange(8)}" if name == "keyed" else None
    priority = chance.choice((0, 5, 5, 10))
    at_once = delay is None and key is None and priority <= 5
    return await connection.fetchval(INSERT, name, priority, key, delay), at_once


async def transact(connection: Any, chance: random.Random, log: Log) -> None:
    """One transaction with one to four jobs; what became of it goes to the log."""
    transaction = connection.transaction()
    await transaction.start()
    jobs = [await insert(connection, chance) for _ in range(chance.randint(1, 4))]
    if chance.random() < 0.3:
        await asyncio.sleep(chance.choice((0.005, 0.05, 0.5)))
    if chance.random() < 0.1:
        await transaction.rollback()
        tell(log, jobs, "rolled-back")
        return
    heard = False
    try:
        await transaction.commit()
        heard = True
    finally:
        tell(log, jobs, "committed" if heard else "unknown")


def tell(log: Log, jobs: list[tuple[int, bool]], event: str) -> None:
    """Write what became of them."""
    for job, at_once in jobs:
        later = event == "committed" and not at_once
        log.note("committed-later" if later else event, job)


async def main(dsn: str, path: str, seed: str, rate: float, cache: int) -> None:
    """Produce until killed, through every broken connection."""
    chance, log = random.Random(seed), Log(path)
    while True:
        try:
            connection = await asyncpg.connect(
                dsn, timeout=5, command_timeout=10, statement_cache_size=cache
            )
            log.up()
            try:
                while True:
                    await transact(connection, chance, log)
                    await asyncio.sleep(chance.expovariate(rate))
            finally:
                connection.terminate()
        except (*DISCONNECTED, asyncpg.PostgresError):
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
