"""What the admin's classes share: the queue's database, and reading without writing."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from pgq_django.databases import database_of
from pgq_django.verbs import Verbs


class QueueAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Reads from the queue's alias; nothing is added, changed or deleted row by row."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count
    actions_on_bottom = False

    class Media:
        css = {"all": ("pgq_django/admin.css",)}  # noqa: RUF012

    @property
    def verbs(self) -> Verbs:
        """The verbs on the queue's database."""
        return Verbs(database_of())

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).using(database_of())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def may(request: HttpRequest, permission: str) -> bool:
    """Whether this user may do it."""
    user: Any = request.user
    return bool(user.has_perm(permission))
