"""Pages by key: the thousandth page costs what the first one does, and nothing is counted."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils import timezone

from pgq_django.admin.scan import Found, Wanted, find
from pgq_django.databases import database_of

BEFORE, AFTER = "before", "after"
LARGEST = 2**63 - 1
AGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}


class KeysetChangeList(ChangeList):
    """Newest first; `?before=<id>` and `?after=<id>` lead on. Filters narrow the scan, not the
    queryset, which actions read by the ids chosen."""

    older: str | None = None
    newer: str | None = None
    found: Found

    def get_filters_params(self, params: Any = None) -> Any:
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (BEFORE, AFTER)}

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-id"]

    def get_results(self, request: HttpRequest) -> None:
        before, after = number(request, BEFORE), number(request, AFTER)
        newer, start = after is not None, before if after is None else after
        using = database_of()
        self.found = find(using, self.wanted(), start, self.list_per_page, newer=newer)
        self.link_neighbours(before, after)
        rows = self.found.jobs
        self.result_list = rows
        self.result_count = len(rows)
        self.paginator = Paginator(rows, self.list_per_page)
        self.full_result_count = len(rows)  # says that there is no "show all"
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False

    def wanted(self) -> Wanted:
        """What the filters and the search field ask for."""
        specs: Any = self.filter_specs
        chosen = {spec.parameter_name: spec.value() for spec in specs}
        age = AGES.get(chosen.get("age") or "")
        return Wanted(
            state=chosen.get("state"),
            queue=chosen.get("queue"),
            entrypoint=chosen.get("entrypoint"),
            since=None if age is None else timezone.now() - age,
            **searched(self.query),
        )

    def link_neighbours(self, before: int | None, after: int | None) -> None:
        """The addresses of the pages on both sides, where there are any."""
        rows, onward = self.found.jobs, self.found.onward
        if after is not None:
            self.newer = self.link(AFTER, onward)
            self.older = self.link(BEFORE, rows[-1].pk if rows else after + 1)
        else:
            self.older = self.link(BEFORE, onward)
            if before is not None:
                self.newer = self.link(AFTER, rows[0].pk if rows else before - 1)

    def link(self, name: str, key: Any) -> str | None:
        """The address of a neighbouring page; None without a key."""
        return None if key is None else self.get_query_string({name: key}, remove=[BEFORE, AFTER])


def searched(text: str) -> dict[str, Any]:
    """A search for an id, a result's id, or a key."""
    term = text.strip()
    digits = term.removeprefix("pgq-")
    if digits.isdecimal():
        return {"id": min(int(digits), LARGEST)}
    return {"key": term or None}


def number(request: HttpRequest, name: str) -> int | None:
    """A key in the address; nonsense counts as none."""
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None
