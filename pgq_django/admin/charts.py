"""Charts as SVG, drawn here: no script, no library, colours from the admin's own variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, LEFT, BOTTOM = 600, 160, 44, 18


def bars(title: str, minutes: Sequence[str], good: Sequence[int], bad: Sequence[int]) -> SafeString:
    """Stacked bars, one per minute."""
    top = nice(max([g + b for g, b in zip(good, bad, strict=True)], default=0))
    step = (WIDTH - LEFT) / max(len(minutes), 1)
    parts = []
    for index, (minute, g, b) in enumerate(zip(minutes, good, bad, strict=True)):
        x, w = round(LEFT + index * step + 0.5, 1), round(max(step - 1, 1), 1)
        hint = f"{minute}: {g} succeeded, {b} failed"
        parts += [(x, y_of(g, top), w, h_of(g, top), "good", hint),
                  (x, y_of(g + b, top), w, h_of(b, top), "bad", hint)]  # fmt: skip
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" class="pgq-{}"><title>{}</title></rect>',
        parts,
    )
    return frame(title, drawn, f"{top:g}", minutes)


def lines(
    title: str, minutes: Sequence[str], series: Mapping[str, Sequence[float | None]]
) -> SafeString:
    """One line per name; a minute without a value is a gap."""
    top = nice(max([v for values in series.values() for v in values if v is not None], default=0))
    step = (WIDTH - LEFT) / max(len(minutes), 1)
    paths = []
    for name, values in series.items():
        d, pen = "", "M"
        for index, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            x = LEFT + (index + 0.5) * step
            d += f"{pen}{x:.1f},{y_of(value, top):.1f}h0.1 "
            pen = "L"
        paths.append((d or "M0,0", name))
    drawn = format_html_join("", '<path d="{}" class="pgq-line pgq-{}"/>', paths)
    return frame(title, drawn, f"{top:g} s", minutes)


def frame(title: str, drawn: SafeString, top: str, minutes: Sequence[str]) -> SafeString:
    """Axes and labels around what was drawn."""
    first, last = (minutes[0], minutes[-1]) if minutes else ("", "")
    return format_html(
        '<svg class="pgq-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line x1="{}" y1="{}" x2="{}" y2="{}" class="pgq-axis"/>'
        '<text x="{}" y="12" text-anchor="end">{}</text>'
        '<text x="{}" y="{}" text-anchor="end">0</text>{}'
        '<text x="{}" y="{}">{}</text><text x="{}" y="{}" text-anchor="end">{}</text></svg>',
        WIDTH, HEIGHT, title,
        LEFT, HEIGHT - BOTTOM, WIDTH, HEIGHT - BOTTOM,
        LEFT - 4, top,
        LEFT - 4, HEIGHT - BOTTOM, drawn,
        LEFT, HEIGHT - 4, first, WIDTH, HEIGHT - 4, last,
    )  # fmt: skip


def nice(value: float) -> float:
    """The next round number at or above: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.001
    while unit * 10 < value:
        unit *= 10
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= value)


def y_of(value: float, top: float) -> float:
    """Where a value lies."""
    return round(HEIGHT - BOTTOM - h_of(value, top), 1)


def h_of(value: float, top: float) -> float:
    """How high a value is."""
    return round((HEIGHT - BOTTOM - 6) * value / top, 1)
