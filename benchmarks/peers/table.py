"""The results as Markdown: one table, what is missing and why, who is ahead, and the settings."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone

from benchmarks.peers.bench import Bench
from benchmarks.peers.columns import COLUMNS, Column, Missing
from benchmarks.peers.peer import NAMES, Peer

NOTICE = 1.05
"""A lead of less is within what two runs differ by."""
DJANGO = ("pgq_django", "django_tasks_db", "django_ox")

SCENES = {
    "drain": "drain", "singles": "single enqueue", "load": "half load", "pinned": "held snapshot",
    "deferred": "deferred rows", "idle": "pickup", "ten": "ten workers", "killed": "SIGKILL",
}  # fmt: skip


def text(bench: Bench) -> str:
    """All of it."""
    parts = [
        conditions(bench),
        *figures(bench),
        "\n".join(ahead(bench)),
        "\n".join(settings(bench)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def conditions(bench: Bench) -> str:
    """Where and how."""
    return (
        f"{bench.place} `python -m benchmarks.peers` (`tox -e peers`), "
        f"{bench.deferred:,} deferred rows; medians of interleaved rounds: {told_rounds(bench)}."
    )


def told_rounds(bench: Bench) -> str:
    """How often what was measured."""
    times: dict[int, list[str]] = {}
    for scenario, name in SCENES.items():
        times.setdefault(rounds(bench, scenario), []).append(name)
    return "; ".join(
        f"{count} of {', '.join(times[count])}" for count in sorted(times)[::-1] if count
    )


def rounds(bench: Bench, scenario: str) -> int:
    """How often it was measured."""
    return max((len(each.get(scenario, [])) for each in bench.results.values()), default=0)


def place(server: str) -> str:
    """The machine and its programs."""
    today = datetime.now(timezone.utc).date().isoformat()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Measured on {today}: {server}, Python {platform.python_version()}, "
        f"{platform.machine()}, {cores} cores shared by servers, producers and workers, fsync on."
    )


def figures(bench: Bench) -> list[str]:
    """The table, and the footnotes of its dashes."""
    notes: dict[str, int] = {}
    head = ["", *[column.title for column in COLUMNS]]
    lines = [_row(head), _row(["---"] * len(head))]
    for peer in _measured(bench):
        name = f"**{peer.title}**" if peer.name in ("pgq", "pgq_django") else peer.title
        lines.append(_row([name, *[cell(bench, peer, column, notes) for column in COLUMNS]]))
    footnotes = [f"{_mark(number)} {note}" for note, number in notes.items()]
    return ["\n".join(lines), "  \n".join(footnotes)]


def cell(bench: Bench, peer: Peer, column: Column, notes: dict[str, int]) -> str:
    """A figure, or a dash with its reason as a footnote."""
    reason = peer.get("LACKS", {}).get(column.name)
    if reason is None:
        try:
            return column.show(bench, peer.name)
        except Missing as missing:
            reason = missed(bench, peer, str(missing))
    if reason is None:
        return "–"
    number = notes.setdefault(f"{peer.title}: {reason}", len(notes) + 1)
    return f"–{_mark(number)}"


def missed(bench: Bench, peer: Peer, scenario: str) -> str | None:
    """Why there is no figure; None when nobody asked for it."""
    errors = bench.errors.get(peer.name, {})
    reason = errors.get("installation") or errors.get(scenario)
    return reason and reason.replace("|", "/").replace("<", "‹")


def ahead(bench: Bench) -> list[str]:
    """Who does better than we do, and by how much."""
    lines = []
    for column in COLUMNS:
        leads = [_lead(bench, peer, column) for peer in _measured(bench)]
        lines += [f"- {column.title}: {lead}" for lead in leads if lead]
    title = "Ahead of pgq in this run (of pgq's Django backend, among the Django peers):\n"
    return [title, *lines] if lines else []


def _lead(bench: Bench, peer: Peer, column: Column) -> str | None:
    ours = "pgq_django" if peer.name in DJANGO else "pgq"
    if peer.name == ours or column.name in peer.get("LACKS", {}):
        return None
    try:
        theirs, mine = column.value(bench, peer.name), column.value(bench, ours)
        figures = f"{column.show(bench, peer.name)} (ours {column.show(bench, ours)})"
    except Missing:
        return None
    low, high = (mine, theirs) if column.more_is_better else (theirs, mine)
    if high <= low * NOTICE:
        return None
    why = peer.get("WHY", {}).get(column.name)
    return f"{peer.title} {figures}{f': {why}' if why else ''}"


def settings(bench: Bench) -> list[str]:
    """Versions and settings."""
    lines = ["| | version | settings | mind |", "|---|---|---|---|"]
    for peer in _measured(bench):
        version = bench.versions.get(peer.name, "–")
        lines.append(_row([peer.title, version, peer.get("SETTINGS"), peer.get("NOTE", "")]))
    return lines


def _measured(bench: Bench) -> list[Peer]:
    return [Peer.named(name) for name in NAMES if name in bench.errors]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mark(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))
