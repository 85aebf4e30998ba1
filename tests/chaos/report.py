"""What happened, on the screen and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.faults import FAULTS
from tests.chaos.recovery import Recovery, percentile
from tests.chaos.verdict import Verdict

HEAD = ("fault", "times", "jobs cut", "p50", "p99", "max", "next new job p50", "p99", "max")

KEYS = (
    "fault",
    "times",
    "cut",
    "again_p50",
    "again_p99",
    "again_max",
    "new_p50",
    "new_p99",
    "new_max",
)


@dataclass
class Result:
    """One performance."""

    seed: int
    seconds: float
    verdict: Verdict
    recovery: dict[str, Recovery]
    answers: Counter[str]
    deaths: int
    server: str
    notes: list[str]
    lease: float

    @property
    def plain(self) -> dict[str, Any]:
        """For machines."""
        table = [dict(zip(KEYS, row, strict=True)) for row in rows(self.recovery)]
        return {
            "seed": self.seed, "seconds": self.seconds, "server": self.server,
            **asdict(self.verdict), "broken": self.verdict.broken, "deaths": self.deaths,
            "answers": self.answers, "recovery": table,
        }  # fmt: skip


def rows(recovery: dict[str, Recovery]) -> list[tuple[str, ...]]:
    """The table of recoveries, in the order of the faults."""
    order = {fault.name: place for place, fault in enumerate(FAULTS)}
    names = sorted(recovery, key=lambda name: (order.get(name.partition(" ")[0], 99), name))
    return [
        (name, str(one.times), str(len(one.again)), *times(one.again), *times(one.fresh))
        for name, one in ((name, recovery[name]) for name in names)
    ]


def times(values: Sequence[float]) -> tuple[str, ...]:
    """p50, p99 and max, in seconds."""
    found = [percentile(values, share) for share in (0.5, 0.99, 1.0)]
    return tuple("" if value is None else f"{value:.2f}" for value in found)


def text(result: Result) -> str:
    """For the screen."""
    lines = [f"{name:>34}  {value}" for name, value in result.verdict.lines()]
    lines.append(f"{'processes that died':>34}  {result.deaths}")
    if result.answers:
        lines.append(f"{'answers':>34}  {counted(result.answers)}")
    lines += ["", "seconds until what a fault cut began again, and until the next new job did:"]
    lines += columns([HEAD, *rows(result.recovery)])
    lines += [f"note: {note}" for note in dict.fromkeys(result.notes)]
    if result.verdict.broken:
        lines.append(f"BROKEN: {result.verdict.broken}")
    return "\n".join(lines)


def counted(counter: Counter[str]) -> str:
    """Names with their numbers, most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Aligned."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]  # fmt: skip
