"""Run what is due."""

from __future__ import annotations

from pgq_core import PgQueuer


async def drain(pgq: PgQueuer) -> None:
    """Run what is due, in this process, until nothing is left."""
    await pgq.run(until_empty=True, listen=False)
