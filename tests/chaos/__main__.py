"""`python -m tests.chaos --minutes 1 --seed 7`: torment the queue, then judge."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pgq_core.embedded import EmbeddedServer
from tests.chaos import faults
from tests.chaos.oracle import read
from tests.chaos.stage import Stage
from tests.chaos.verdict import Verdict, judge


async def perform(
    seconds: float, seed: int, only: list[str] | None = None, rate: float = 40.0
) -> tuple[Verdict, Stage]:
    """One performance: open, torment, settle, judge."""
    chosen = None if only is None else [getattr(faults, name) for name in only]
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(tcp=True) as server:
        stage = Stage(server, Path(folder), seed, rate=rate)
        await stage.open(workers=4, producers=4)
        try:
            await stage.torment(seconds, chosen)
            drained = await stage.settle(timeout=120)
        finally:
            await stage.close()
        async with stage.admin() as connection:
            return await judge(connection, read(stage.log), drained), stage


def main() -> None:
    """Print the seed first, the figures last; exit 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", nargs="*", help="some faults, by name")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    print(f"seed {given.seed}", file=sys.stderr, flush=True)
    verdict, stage = asyncio.run(perform(given.minutes * 60, given.seed, given.only))
    if given.json:
        print(json.dumps({**asdict(verdict), "faults": stage.drawn, "seed": given.seed}))
    else:
        print(verdict.lines())
        print(
            f"{'faults':>24}  " + ", ".join(f"{n} {name}" for name, n in stage.drawn.most_common())
        )
    raise SystemExit(not verdict.clean)


if __name__ == "__main__":
    main()
