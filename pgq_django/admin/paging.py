"""Pages by key: the thousandth page costs what the first one does, and nothing is counted."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest

BEFORE, AFTER = "before", "after"
HEAVY = ("payload", "headers", "last_error", "last_result")  # no column of the list


class KeysetChangeList(ChangeList):
    """Newest first; `?before=<id>` and `?after=<id>` lead on."""

    older: str | None = None
    newer: str | None = None

    def get_filters_params(self, params: Any = None) -> Any:
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (BEFORE, AFTER)}

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-id"]

    def get_results(self, request: HttpRequest) -> None:
        before, after = number(request, BEFORE), number(request, AFTER)
        page = self.page(before, after)
        rows, more = page[: self.list_per_page], len(page) > self.list_per_page
        if after is not None:
            rows.reverse()
        self.newer = self.link(AFTER, rows[0].pk) if rows and (more if after else before) else None
        self.older = self.link(BEFORE, rows[-1].pk) if rows and (after or more) else None
        self.result_list = rows
        self.result_count = len(rows)
        self.paginator = Paginator(rows, self.list_per_page)
        self.full_result_count = len(rows)  # says that there is no "show all"
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False

    def page(self, before: int | None, after: int | None) -> list[Any]:
        """One page, and one row more if there is one."""
        rows = self.queryset.defer(*HEAVY)
        if after is not None:
            rows = rows.filter(id__gt=after).order_by("id")
        elif before is not None:
            rows = rows.filter(id__lt=before)
        return list(rows[: self.list_per_page + 1])

    def link(self, name: str, key: Any) -> str:
        """The address of a neighbouring page."""
        return self.get_query_string({name: key}, remove=[BEFORE, AFTER])


def number(request: HttpRequest, name: str) -> int | None:
    """A key in the address; nonsense counts as none."""
    text = request.GET.get(name, "")
    return int(text) if text.isdigit() and len(text) < 19 else None
