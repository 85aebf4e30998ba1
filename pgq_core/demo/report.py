"""What the demo found out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

Percentiles = tuple[float | None, float | None]


@dataclass(frozen=True)
class Recovery:
    """The killed worker's jobs; the longest seconds until given back, until started again."""

    jobs: int
    given_back: float | None
    started_again: float | None


@dataclass(frozen=True)
class Report:
    """One run in numbers; times in seconds, all but the plain loop's by the database's clock."""

    files: int
    skipped: int
    bytes: int
    lines: int
    succeeded: int
    failed: int
    unfinished: int
    retried: int
    interrupted: int
    run_twice: int
    completed_twice: int
    differing: list[str]
    seconds: float | None
    plain_loop_seconds: float
    queueing: Percentiles
    pickup: Percentiles
    recovery: Recovery | None

    @property
    def lost(self) -> int:
        """Jobs that were enqueued and are nowhere."""
        return self.files - self.succeeded - self.failed - self.unfinished

    @property
    def good(self) -> bool:
        """Whether every file's digest is right, and every job was completed once."""
        bad = self.lost or self.failed or self.unfinished or self.completed_twice
        return not (bad or self.differing) and self.succeeded == self.files

    @property
    def throughput(self) -> float:
        """Jobs per second, from the first enqueued to the last finished."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ok": self.good,
            **asdict(self),
            "lost": self.lost,
            "throughput": self.throughput,
            "queueing": dict(zip(("p50", "p99"), self.queueing, strict=True)),
            "pickup": dict(zip(("p50", "p99"), self.pickup, strict=True)),
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """As a table for people."""
        skipped = f" ({self.skipped} could not be read)" if self.skipped else ""
        yield "files", f"{self.files:,}{skipped}"
        yield "bytes, lines", f"{self.bytes:,}, {self.lines:,}"
        yield "jobs succeeded", f"{self.succeeded:,}"
        yield "retried", f"{self.retried:,}"
        yield "failed, unfinished", f"{self.failed:,}, {self.unfinished:,}"
        yield "lost", f"{self.lost:,}"
        yield "run twice", f"{self.run_twice:,} ({self.interrupted:,} interrupted by the kill)"
        yield "completed twice", f"{self.completed_twice:,}"
        yield "throughput", f"{self.throughput:,.0f} jobs/s"
        yield "waited in the burst, p50 / p99", f"{both(self.queueing)} (all enqueued at once)"
        yield "pickup when idle, p50 / p99", f"{both(self.pickup)} (single jobs)"
        yield from self._recovery_rows()
        yield "digests", f"{len(self.differing)} differ" if self.differing else "all as expected"

    def _recovery_rows(self) -> Iterator[tuple[str, str]]:
        recovery = self.recovery
        if recovery is None:
            yield "after the kill", "no worker was killed"
        elif not recovery.jobs:
            yield "after the kill", "the killed worker had just finished all its jobs"
        else:
            yield "given back after the kill", f"{length(recovery.given_back)} at most"
            yield "started again after the kill", f"{length(recovery.started_again)} at most"


def both(pair: Percentiles) -> str:
    """Two percentiles."""
    return " / ".join(length(seconds) for seconds in pair)


def length(seconds: float | None) -> str:
    """A length of time in the unit that fits."""
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
