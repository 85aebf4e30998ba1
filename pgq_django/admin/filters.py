"""Filters of the list of jobs: what they offer. What they do stands in `scan`."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.http import HttpRequest

from pgq_django.models import Lane

STATES = ("ready", "deferred", "blocked", "running", "succeeded", "failed", "cancelled")


class Narrowing(SimpleListFilter):
    """Leaves the queryset as it is: `KeysetChangeList.wanted` reads its value."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset


class StateFilter(Narrowing):
    """By state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def value(self) -> str | None:
        """A state; nonsense counts as none."""
        value = super().value()
        return value if value in STATES else None


class LaneFilter(Narrowing):
    """By a column of the lane directory, which is small however many jobs there are."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        lanes = Lane.objects.using(model_admin.verbs.using)
        names = lanes.order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        return [(name, name) for name in names.distinct()[:200]]


class QueueFilter(LaneFilter):
    """By queue."""

    title = "queue"
    parameter_name = "queue"


class EntrypointFilter(LaneFilter):
    """By entrypoint: a task's path."""

    title = "task"
    parameter_name = "entrypoint"


class AgeFilter(Narrowing):
    """By when a job was enqueued."""

    title = "enqueued"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("1h", "in the last hour"), ("1d", "in the last day"), ("7d", "in the last 7 days")]
