"""`python -m benchmarks.peers`: other queues beside ours, each tuned by its own manual."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from benchmarks.__main__ import version
from benchmarks.peers import plots, table
from benchmarks.peers.bench import Bench
from benchmarks.peers.ground import Postgres
from benchmarks.peers.peer import NAMES, Failed, Peer
from benchmarks.peers.redis import Redis
from benchmarks.peers.scenarios import SCENARIOS
from benchmarks.stand import SETTINGS
from pgq_core.embedded import EmbeddedServer

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


def arguments() -> argparse.Namespace:
    """Whom to measure, at what, for how long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="a tenth of the jobs, one round")
    form.add_argument("--long", action="store_true", help="three times the jobs, five rounds")
    parser.add_argument("--only", help="some peers, with commas: pgq,pgqueuer")
    parser.add_argument("--scenarios", help=f"some of {','.join(SCENARIOS)}")
    parser.add_argument("--scale", type=float, help="so many times the jobs")
    parser.add_argument("--rounds", type=int, help="of each scenario (default: 3 drains, else 1)")
    parser.add_argument("--deferred", type=int, help="rows due tomorrow (default 500,000)")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    parser.add_argument("--read", type=Path, help="take what --json wrote; measure --scenarios")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    parser.add_argument(
        "--plots", type=Path, help="write the plots there (default: beside --write)"
    )
    return parser.parse_args()


async def measure(bench: Bench, given: argparse.Namespace) -> None:
    """Scenario by scenario, round by round, peer after peer."""
    peers = [Peer.named(name) for name in given.only.split(",")] if given.only else everybody()
    for name in given.scenarios.split(",") if given.scenarios else SCENARIOS:
        default = 1 if given.quick else 5 if given.long else SCENARIOS[name][1]
        rounds = given.rounds or default
        for _ in range(rounds):
            for peer in peers:
                await one(bench, name, peer)
                if given.json:
                    given.json.write_text(bench.dumps())


def everybody() -> list[Peer]:
    """All of them, ours first."""
    return [Peer.named(name) for name in NAMES]


async def one(bench: Bench, scenario: str, peer: Peer) -> None:
    """One round of one scenario with one peer; what goes wrong is written down, not raised."""
    errors = bench.errors.setdefault(peer.name, {})
    if scenario in errors or "installation" in errors:
        return
    begun = time.monotonic()
    try:
        bench.versions[peer.name] = peer.version
        figures = await SCENARIOS[scenario][0](bench, peer)
    except Exception as error:  # noqa: BLE001
        place = scenario if peer.name in bench.versions else "installation"
        errors[place] = f"{error}" if isinstance(error, Failed) else repr(error)[:200]
        told = errors[place]
    else:
        bench.results.setdefault(peer.name, {}).setdefault(scenario, []).append(figures)
        told = " ".join(f"{key}={value:.5g}" for key, value in figures.items())
    took = time.monotonic() - begun
    print(f"{scenario:9} {peer.name:16} {took:5.1f} s  {told}", file=sys.stderr, flush=True)


def measured(given: argparse.Namespace) -> Bench:
    """The figures of a run; or those of an earlier one."""
    if given.read and not given.scenarios:
        return Bench.loads(given.read.read_text())
    scale = given.scale or (0.1 if given.quick else 3.0 if given.long else 1.0)
    deferred = given.deferred or (20_000 if given.quick else 500_000)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(settings=SETTINGS, tcp=True))
        bench = Bench(Postgres(server), Redis(stack), scale, deferred)
        if given.read:
            bench.resume(given.read.read_text(), given.scenarios.split(","))
        bench.place = table.place(asyncio.run(version(server.dsn())))
        asyncio.run(measure(bench, given))
    return bench


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    # As by Ctrl-C: workers are sessions of their own, and must not outlive us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = measured(given)
    text = table.text(bench)
    print(text)
    folder = given.plots or (given.write and given.write.parent / "plots")
    pictures = plots.draw(bench, folder) if folder else []
    if given.write:
        shown = "".join(f"\n{picture}\n" for picture in pictures)
        before, _, rest = given.write.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        given.write.write_text(f"{before}{BEGIN}\n{text}{shown}{END}{after}")


if __name__ == "__main__":
    main()
