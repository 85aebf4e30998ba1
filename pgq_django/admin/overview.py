"""The overview: what waits, how fast it goes, what fails, what nobody serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from pgq_django.admin import charts
from pgq_django.admin.base import may
from pgq_django.admin.detail import spell
from pgq_django.admin.workers import state_of
from pgq_django.models import Queue, Worker
from pgq_django.verbs import Verbs, at_once

MINUTES = 60
CAP, LANE_CAP = 100_000, 10_000  # where counting stops


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
    request.current_app = admin.admin_site.name  # for links in the template
    return TemplateResponse(request, "admin/pgq_django/overview.html", context)


def figures(verbs: Verbs) -> dict[str, Any]:
    """Everything on it; each query is bounded, however many jobs there are."""
    health = at_once(verbs.health())
    workers = list(Worker.objects.using(verbs.using).order_by("worker_id")[:100])
    oldest = health["oldest_ready"]
    counts = at_once(verbs.call("overview_states", cap=CAP))[0].dict()
    states = {name: counted(count, count > CAP) for name, count in counts.items()}
    return {
        "states": {**states, "failed (1 h)": counted(health["failed_last_hour"])},
        "oldest_ready": None if oldest is None else spell(oldest),
        "queues": queues(verbs),
        "unserved": at_once(verbs.unserved()),
        "failing": [row.dict() for row in at_once(verbs.call("failing"))],
        "workers": [{"worker": worker, "state": state_of(worker)} for worker in workers],
        **pictures(verbs),
    }


def queues(verbs: Verbs) -> list[dict[str, Any]]:
    """Queues with what is ready, how long it waits, and whether they are paused."""
    found: dict[str, dict[str, Any]] = {}
    for row in at_once(verbs.call("overview_queues", cap=LANE_CAP)):
        depth = counted(row["depth"], row["capped"])
        found[row["queue"]] = {"depth": depth, "age": spell(row["age"] or 0), "paused": False}
    for row in at_once(verbs.call("cli_paused")):
        if not row["entrypoint"]:
            nothing = {"depth": "0", "age": "0 s"}
            found.setdefault(row["queue"], nothing)["paused"] = True
    return [{"name": name, **queue} for name, queue in sorted(found.items())]


def counted(count: int, more: bool = False) -> str:
    """A number for people; `more`: counting has stopped there."""
    return f"{count - more:,}{'+' if more else ''}"


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
        note(request, queue, f"{verb}d")
        admin.message_user(request, f"{queue}: {verb}d.", messages.SUCCESS)


def note(request: HttpRequest, queue: str, what: str) -> None:
    """One log entry under the queue's name: a queue has no row that `log_change` could take."""
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(Queue),
        object_id=queue,
        object_repr=queue[:200],
        action_flag=CHANGE,
        change_message=what,
    )
