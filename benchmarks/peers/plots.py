"""The results as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.bench import Bench
from benchmarks.peers.columns import Missing, Read, of
from benchmarks.peers.peer import NAMES, Peer

OURS, OTHERS, PALE = "#2563eb", "#64748b", 0.45
Series = list[tuple[str, Read]]

PLOTS: dict[str, tuple[str, Series, bool]] = {
    "peers-drain": (
        "Jobs per second, one worker process", [("drain", of("drain", "rate"))], False,
    ),
    "peers-enqueue": (
        "Enqueued jobs per second (logarithmic)",
        [("in bulk", of("drain", "bulk")), ("singly", of("singles", "rate"))], True,
    ),
    "peers-pickup": (
        "Commit to start on an idle worker, ms (logarithmic)",
        [("p50", of("idle", "p50")), ("p99", of("idle", "p99"))], True,
    ),
    "peers-trouble": (
        "Speed left, of the plain drain's",
        [("a snapshot held", of("pinned", "share")), ("deferred rows beside", of("deferred", "share"))], False,
    ),
    "peers-cost": (
        "CPU of a job, µs (logarithmic)",
        [("worker", of("drain", "client")), ("server", of("drain", "server"))], True,
    ),
}  # fmt: skip


def draw(bench: Bench, folder: Path) -> list[str]:
    """Write every plot that has figures; as Markdown that shows them."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (title, series, logarithmic) in PLOTS.items():
        rows = [row for peer in NAMES if (row := values(bench, peer, series))]
        if rows:
            bars(folder / f"{name}.svg", title, series, rows, logarithmic)
            drawn.append(f"![{title}]({folder.name}/{name}.svg)")
    return drawn


def values(bench: Bench, peer: str, series: Series) -> tuple[str, list[float | None]] | None:
    """A peer's figures; None when it has none of them."""
    found: list[float | None] = []
    for _, read in series:
        try:
            found.append(read(bench, peer))
        except Missing:
            found.append(None)
    return (Peer.named(peer).title, found) if any(found) else None


def bars(path: Path, title: str, series: Series, rows: list[Any], logarithmic: bool) -> None:
    """One horizontal bar per figure, ours first and blue."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.6 + 0.2 * len(rows) * (len(series) + 0.6)))
    axes = figure.subplots()
    height = 0.8 / len(series)
    for i, (label, _) in enumerate(series):
        _bars(axes, rows, i, height, label if len(series) > 1 else "")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log" if logarithmic else "linear")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def _bars(axes: Any, rows: list[Any], i: int, height: float, label: str) -> None:
    """The bars of one series, each with its figure and, among several, the series' name."""
    for row, (name, found) in enumerate(rows):
        if found[i] is None:
            continue
        color = OURS if name.startswith("pgq") else OTHERS
        place = row - 0.4 + height * (i + 0.5)
        axes.barh(place, found[i], height * 0.9, color=color, alpha=1.0 if i == 0 else PALE)
        axes.text(found[i], place, f" {_short(found[i])} {label}", va="center", fontsize=7)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
