"""`python -m benchmarks`: every figure, as one table with ratios."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import (
    claims,
    drain,
    enqueue,
    footprint,
    memory,
    pickup,
    pinned,
    recovery,
    report,
)
from benchmarks.stand import SETTINGS, Stand
from pgq_core.embedded import EmbeddedServer

FIGURES = {
    "drain": drain.figure,
    "enqueue": enqueue.figure,
    "pinned": pinned.figure,
    "claims": claims.figure,
    "footprint": footprint.figure,
    "memory": memory.figure,
    "pickup": pickup.figure,
    "recovery": recovery.figure,
}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def arguments() -> argparse.Namespace:
    """What to measure, where, how long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--dsn", help="a server of yours (default: an embedded one)")
    parser.add_argument("--long", action="store_true", help="the long form")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3, long 5)")
    parser.add_argument("--only", nargs="*", choices=sorted(FIGURES), help="some figures")
    parser.add_argument("--json", type=Path, help="write the raw results there")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    return parser.parse_args()


@contextlib.contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """The DSN to measure on."""
    if dsn is not None:
        yield dsn
        return
    with EmbeddedServer(settings=SETTINGS) as embedded:
        yield embedded.dsn()


async def measure(stand: Stand, names: list[str]) -> report.Results:
    """The figures in order, each named as it begins."""
    results: dict[str, Any] = {}
    for name in names:
        started = time.monotonic()
        print(f"{name} …", end=" ", flush=True, file=sys.stderr)
        results[name] = await FIGURES[name](stand)
        print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return results


async def version(dsn: str) -> str:
    """The server's name and version."""
    connection = await asyncpg.connect(dsn)
    try:
        return f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
    finally:
        await connection.close()


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    rounds = given.rounds or (5 if given.long else 3)
    with server(given.dsn) as dsn:
        stand = Stand(dsn, given.long, rounds)
        name = asyncio.run(version(dsn))
        results = asyncio.run(measure(stand, given.only or list(FIGURES)))
    text = f"{report.conditions(name, given.long, rounds)}\n\n{report.table(results)}\n"
    print(text)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2))
    if given.write:
        before, _, rest = given.write.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        given.write.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


if __name__ == "__main__":
    main()
