"""Filters of the list of jobs: each is driven by a table that is small for what it asks."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.http import HttpRequest
from django.utils import timezone

from pgq_django import statements
from pgq_django.models import Attempt, Blocked, Deferred, Lane, Ready

STATES = ("ready", "deferred", "blocked", "running", "succeeded", "failed", "cancelled")
AGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}


class StateFilter(SimpleListFilter):
    """By state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if value not in STATES:
            return queryset
        return narrowed(queryset, value).filter(state=value)


def narrowed(queryset: Any, state: str) -> Any:
    """The jobs that can be in a state, found where such jobs stand."""
    using = queryset.db
    if state == "running":
        ids = [row["job_id"] for row in statements.run(using, "running_ids")]
        return queryset.filter(id__in=ids)
    places: dict[str, Any] = {
        "ready": Ready.objects,
        "deferred": Deferred.objects,
        "blocked": Blocked.objects,
        "failed": Attempt.objects.filter(outcome="failed"),
    }
    if state not in places:
        return queryset
    return queryset.filter(id__in=places[state].using(using).values("job_id"))


class LaneFilter(SimpleListFilter):
    """By a column of the lane directory, which is small however many jobs there are."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        lanes = Lane.objects.using(model_admin.verbs.using)
        names = lanes.order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        return [(name, name) for name in names.distinct()[:200]]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        return queryset if value is None else queryset.filter(**{str(self.parameter_name): value})


class QueueFilter(LaneFilter):
    """By queue."""

    title = "queue"
    parameter_name = "queue"


class EntrypointFilter(LaneFilter):
    """By entrypoint: a task's path."""

    title = "task"
    parameter_name = "entrypoint"


class AgeFilter(SimpleListFilter):
    """By when a job was enqueued."""

    title = "enqueued"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("1h", "in the last hour"), ("1d", "in the last day"), ("7d", "in the last 7 days")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        age = AGES.get(self.value() or "")
        return queryset if age is None else queryset.filter(created_at__gte=timezone.now() - age)
