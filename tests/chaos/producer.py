"""A producer: ordinary transactions, some rolled back, some committed late and out of order."""

from __future__ import annotations

import asyncio
import random
import sys

import asyncpg

from pgq_core.db import DISCONNECTED
from tests.chaos.oracle import Log

INSERT = "INSERT INTO pgq_jobs (entrypoint, priority) VALUES ($1, $2) RETURNING id"
NAMES = ("quick", "slow", "plain", "flaky")


async def transact(connection: asyncpg.Connection, chance: random.Random, log: Log) -> None:
    """One transaction with one to four jobs; what became of it goes to the log."""
    transaction = connection.transaction()
    await transaction.start()
    jobs = [
        await connection.fetchval(INSERT, chance.choice(NAMES), chance.choice((0, 5, 5, 10)))
        for _ in range(chance.randint(1, 4))
    ]
    if chance.random() < 0.3:
        await asyncio.sleep(chance.choice((0.005, 0.05, 0.5)))
    if chance.random() < 0.1:
        await transaction.rollback()
        event = "rolled-back"
    else:
        event = "unknown"
        try:
            await transaction.commit()
            event = "committed"
        finally:
            for job in jobs:
                log.note(event, job)
        return
    for job in jobs:
        log.note(event, job)


async def main(dsn: str, path: str, seed: int, rate: float) -> None:
    """Produce until killed, through every broken connection."""
    chance, log = random.Random(seed), Log(path)
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5, command_timeout=10)
            try:
                while True:
                    await transact(connection, chance, log)
                    await asyncio.sleep(chance.expovariate(rate))
            finally:
                connection.terminate()
        except (*DISCONNECTED, asyncpg.PostgresError):
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
