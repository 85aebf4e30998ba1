"""The table's columns: which figure, how it reads, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.bench import Bench

Read = Callable[[Bench, str], float]


class Missing(Exception):
    """A figure that was not measured; the message names the scenario."""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    title: str
    show: Callable[[Bench, str], str]
    value: Read
    """What is compared, and plotted."""
    more_is_better: bool = False


def of(scenario: str, key: str) -> Read:
    """The median of one figure. Raises Missing."""

    def read(bench: Bench, peer: str) -> float:
        value = bench.figure(peer, scenario, key)
        if value is None:
            raise Missing(scenario)
        return value

    return read


def shown(form: str, *reads: Read) -> Callable[[Bench, str], str]:
    """The figures, formatted."""
    return lambda bench, peer: form.format(*[read(bench, peer) for read in reads])


def total(*reads: Read) -> Read:
    """Their sum."""
    return lambda bench, peer: sum(read(bench, peer) for read in reads)


def plain(name: str, title: str, form: str, read: Read, *, more: bool = False) -> Column:
    """A column of one figure."""
    return Column(name, title, shown(form, read), read, more)


def delays(scenario: str, name: str, title: str) -> Column:
    """A column of percentiles, compared by the last."""
    reads = of(scenario, "p50"), of(scenario, "p99")
    return Column(name, title, shown("{:.1f} / {:.1f}", *reads), reads[1])


def speed(scenario: str, title: str) -> Column:
    """A column of a speed and its share of that of a plain drain just before."""
    show = shown("{:,.0f} ({:.0%})", of(scenario, "rate"), of(scenario, "share"))
    return Column(scenario, title, show, of(scenario, "rate"), more_is_better=True)


CPU = of("drain", "client"), of("drain", "server")
LOAD = of("load", "rate"), of("load", "p50"), of("load", "p95"), of("load", "p99")

COLUMNS = [
    plain("drain", "drain, jobs/s", "{:,.0f}", of("drain", "rate"), more=True),
    plain("bulk", "bulk enqueue, jobs/s", "{:,.0f}", of("drain", "bulk"), more=True),
    plain("singles", "single enqueue, jobs/s", "{:,.0f}", of("singles", "rate"), more=True),
    delays("idle", "pickup", "pickup p50 / p99, ms"),
    delays("ten", "pickup of ten", "the same, 10 idle workers"),
    Column(
        "tx", "transactions/job, 1 / 10 workers",
        shown("{:.1f} / {:.1f}", of("idle", "tx"), of("ten", "tx")), of("ten", "tx"),
    ),
    plain("quiet", "idle worker, tx/s", "{:.1f}", of("idle", "quiet")),
    speed("pinned", "snapshot held, jobs/s"),
    speed("deferred", "deferred rows beside, jobs/s"),
    Column("load", "half load: jobs/s, p50 / p95 / p99, ms",
           shown("{:,.0f}: {:.0f} / {:.0f} / {:.0f}", *LOAD), LOAD[3]),
    plain("killed", "SIGKILL to next start, s", "{:.2f}", of("killed", "last")),
    plain("wal", "WAL, B/job", "{:,.0f}", of("drain", "wal")),
    plain("dead", "dead rows/job", "{:.2f}", of("drain", "dead")),
    Column("cpu", "CPU client + server, µs/job", shown("{:,.0f} + {:,.0f}", *CPU), total(*CPU)),
    plain("memory", "worker, MB", "{:.0f}", of("drain", "memory")),
]  # fmt: skip
