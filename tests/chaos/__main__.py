"""`python -m tests.chaos --minutes 1 --seed 7`: torment the queue, then judge."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.chaos import page, report
from tests.chaos.faults import BY_NAME, FAULTS, Fault
from tests.chaos.performance import perform
from tests.chaos.report import Result


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", nargs="+", choices=BY_NAME, metavar="FAULT", help="some faults")
    parser.add_argument(
        "--each", action="store_true", help="every fault alone, one after the other"
    )
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--report", type=Path, help="put the figures into this page")
    parser.add_argument(
        "--keep", type=Path, help="a folder for what the oracle wrote, and for jobs"
    )
    given = parser.parse_args()
    if given.each and (given.report or given.keep):
        parser.error("--report and --keep are for one performance: leave --each out")
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    return given


def play(given: argparse.Namespace, faults: Sequence[Fault]) -> Result:
    """One performance, printed. A single fault is drawn whatever its weight."""
    weighed = [replace(fault, weight=max(1, fault.weight)) for fault in faults]
    result = asyncio.run(perform(given.minutes * 60, given.seed, weighed, keep=given.keep))
    print(json.dumps(result.plain) if given.json else report.text(result), flush=True)
    return result


def main() -> None:
    """Print the seed first, the figures last; exit 1 when a promise was broken."""
    given = arguments()
    if given.list:
        print("\n".join(report.columns([(fault.name, fault.words) for fault in FAULTS])))
        return
    print(f"seed {given.seed}", file=sys.stderr, flush=True)
    chosen = [BY_NAME[name] for name in given.only or BY_NAME]
    if given.each:
        results = []
        for fault in chosen:
            print(f"\n-- {fault.name}", file=sys.stderr, flush=True)
            results.append(play(given, [fault]))
    else:
        results = [play(given, chosen if given.only else [f for f in FAULTS if f.weight])]
    if given.report is not None:
        page.write(given.report, results[0])
    raise SystemExit(not all(result.verdict.clean for result in results))


if __name__ == "__main__":
    main()
