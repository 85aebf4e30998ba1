"""The figures, and which of them must be zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tests.chaos.faults import Fault


@dataclass
class Verdict:
    """The figures, in the order people read them; `zero` names those that must be zero."""

    committed: int
    answer_lost: int
    rolled_back: int
    finished: int
    lost: int
    left_when_patience_ended: int
    ghosts: int
    completed_twice: int
    stale_outcomes_accepted: int
    effects_lost_or_doubled: int
    started_although_once: int
    workers_that_gave_up: int
    started_twice: int
    overlapping_runs: int
    overlapping_runs_of_a_key: int
    attempts_cut_short: int
    failed_for_workers_deaths: int
    of_these_innocent: int
    seconds_to_drain: float
    zero: tuple[str, ...]

    @property
    def broken(self) -> dict[str, int]:
        """The promises that were not kept."""
        values = asdict(self)
        return {name: values[name] for name in self.zero if values[name]}

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.broken and self.seconds_to_drain != float("inf")

    def lines(self) -> list[tuple[str, str]]:
        """Name, value, for people."""
        figures = {name: value for name, value in asdict(self).items() if name != "zero"}
        return [
            (name.replace("_", " "), f"{value}{' (must be 0)' if name in self.zero else ''}")
            for name, value in figures.items()
        ]


def must_be_zero(faults: Iterable[Fault]) -> tuple[str, ...]:
    """What may not happen, whatever is done; and what may not, after no more than that."""
    inflicted = list(faults)
    names = ["lost", "ghosts", "completed_twice", "stale_outcomes_accepted",
             "effects_lost_or_doubled", "started_although_once", "workers_that_gave_up"]  # fmt: skip
    if not any(fault.forgets for fault in inflicted):
        names.append("started_twice")
    if all(fault.calm for fault in inflicted):
        names += ["overlapping_runs", "overlapping_runs_of_a_key", "attempts_cut_short"]
    return tuple(names)
