"""The overview: what waits, how fast it goes, what fails, what nobody serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from pgq_django.admin import charts
from pgq_django.admin.base import may
from pgq_django.admin.workers import state_of
from pgq_django.models import Worker
from pgq_django.verbs import Verbs, at_once

MINUTES = 60


def overview(admin: Any, request: HttpRequest) -> TemplateResponse:
    """The page."""
    context = {
        **admin.admin_site.each_context(request),
        **figures(admin.verbs),
        "title": "Queue overview",
        "opts": admin.model._meta,
        "media": admin.media,
        "may_steer": may(request, "pgq_django.change_queue"),
    }
    return TemplateResponse(request, "admin/pgq_django/overview.html", context)


def figures(verbs: Verbs) -> dict[str, Any]:
    """Everything on it; each query is bounded, however many jobs there are."""
    health = at_once(verbs.health())
    workers = list(Worker.objects.using(verbs.using).order_by("worker_id")[:100])
    return {
        "states": {**at_once(verbs.states()), "failed (1 h)": health["failed_last_hour"]},
        "oldest_ready": health["oldest_ready"],
        "queues": queues(verbs),
        "unserved": at_once(verbs.unserved()),
        "failing": [row.dict() for row in at_once(verbs.call("failing"))],
        "workers": [{"worker": worker, "state": state_of(worker)} for worker in workers],
        **pictures(verbs),
    }


def queues(verbs: Verbs) -> list[dict[str, Any]]:
    """Queues with what is ready, how long it waits, and whether they are paused."""
    found: dict[str, dict[str, Any]] = {}
    for row in at_once(verbs.call("lane_depths")):
        queue = found.setdefault(row["queue"], {"depth": 0, "age": 0.0, "paused": False})
        queue["depth"] += row["depth"]
        queue["age"] = max(queue["age"], row["age"] or 0.0)
    for row in at_once(verbs.call("cli_paused")):
        if not row["entrypoint"]:
            nothing = {"depth": 0, "age": 0.0}
            found.setdefault(row["queue"], nothing)["paused"] = True
    return [{"name": name, **queue} for name, queue in sorted(found.items())]


def pictures(verbs: Verbs) -> dict[str, Any]:
    """Throughput and latency per minute of the last hour."""
    rows = {row["minute"]: row for row in at_once(verbs.call("throughput"))}
    now = timezone.localtime() if timezone.is_aware(timezone.now()) else timezone.now()
    labels = [(now - timedelta(minutes=MINUTES - 1 - i)).strftime("%H:%M") for i in range(MINUTES)]
    column = [rows.get(MINUTES - 1 - i) for i in range(MINUTES)]
    good = [row["succeeded"] if row else 0 for row in column]
    bad = [row["failed"] if row else 0 for row in column]
    waits: dict[str, list[float | None]] = {
        name: [row[name] if row else None for row in column] for name in ("p50", "p95")
    }
    return {
        "throughput": charts.bars("Attempts per minute in the last hour", labels, good, bad),
        "latency": charts.lines("Seconds from due to start in the last hour", labels, waits),
    }


def steer(admin: Any, request: HttpRequest) -> None:
    """Pause or resume the queue named in the form."""
    queue, verb = request.POST.get("queue", ""), request.POST.get("verb", "")
    if queue and verb in ("pause", "resume"):
        at_once(getattr(admin.verbs, verb)(queue))
        admin.message_user(request, f"{queue}: {verb}d.", messages.SUCCESS)
