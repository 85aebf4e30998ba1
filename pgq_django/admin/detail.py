"""Parts of a job's page."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join

from pgq_django.models import Attempt, Job, Progress

LONGEST = 20_000


def pretty(value: Any) -> str:
    """JSON indented; other bytes as far as they can be read. Escaped."""
    if value is None:
        return "–"
    if isinstance(value, (bytes, memoryview)):
        raw = bytes(value)
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return block(repr(raw))
    return block(json.dumps(value, indent=2, ensure_ascii=False))


def block(text: str) -> str:
    """Preformatted, cut where nobody reads on."""
    text = text.encode("utf-8", "backslashreplace").decode()  # JSON may name half a character
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}\n… {len(text) - LONGEST} characters left out"
    return format_html('<pre class="pgq-text">{}</pre>', text)


def progress_of(job: Job) -> str:
    """A bar and the last message."""
    said = Progress.objects.using(job._state.db).filter(pk=job.pk).first()
    if said is None:
        return "–"
    return format_html(
        '<progress max="1" value="{}"></progress> {} {}',
        said.fraction or 0,
        "" if said.fraction is None else f"{said.fraction:.0%}",
        said.message or "",
    )


def attempts_of(job: Job) -> str:
    """A table of attempts, newest first, tracebacks folded."""
    attempts = Attempt.objects.using(job._state.db).filter(job_id=job.pk).order_by("-attempt")
    rows = [row_of(attempt) for attempt in attempts[:100]]
    if not rows:
        return "none yet"
    body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
                            "<td>{}</td></tr>", rows)  # fmt: skip
    return format_html(
        '<div class="pgq-wide"><table class="pgq-attempts"><thead><tr><th>no.</th><th>outcome</th>'
        "<th>worker</th><th>started</th><th>took</th><th>error</th></tr></thead>"
        "<tbody>{}</tbody></table></div>",
        body,
    )


def row_of(attempt: Attempt) -> tuple[Any, ...]:
    """The cells of one attempt."""
    started, ended = attempt.started_at, attempt.finished_at
    took = "–" if started is None else f"{(ended - started).total_seconds():.2f}\u00a0s"
    badge = format_html(
        '<span class="pgq-state pgq-{}">{}</span>', attempt.outcome, attempt.outcome
    )
    return (attempt.attempt, badge, attempt.worker_id or "–", moment(started), took,
            error_of(attempt.error))  # fmt: skip


def error_of(error: Any) -> str:
    """One line, and the traceback behind it."""
    if not isinstance(error, dict):
        return "–"
    line = f"{error.get('type', '')}: {error.get('message', '')}"
    trace = error.get("traceback")
    if not trace:
        return format_html("{}", line)
    # The end of a traceback matters: the box is scrolled to it, by a style sheet alone.
    return format_html(
        '<details><summary>{}</summary><div class="pgq-end">{}</div></details>', line, block(trace)
    )


def spell(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def distance(value: Any) -> str:
    """How long ago, or in how long; the time itself when one points at it."""
    if value is None:
        return "–"
    seconds = (timezone.now() - value).total_seconds()
    words = f"{spell(seconds)} ago" if seconds >= 0 else f"in {spell(-seconds)}"
    return format_html('<time title="{}">{}</time>', moment(value), words)


def moment(value: Any) -> str:
    """A time as the site writes it."""
    if value is None:
        return "–"
    here = timezone.localtime(value) if timezone.is_aware(value) else value
    return date_format(here, "DATETIME_FORMAT")
