"""Jobs: a list that stays fast, and everything there is to know of one."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST

from pgq_django.admin.actions import ACTIONS, perform
from pgq_django.admin.base import QueueAdmin, may
from pgq_django.admin.detail import attempts_of, distance, moment, pretty, progress_of
from pgq_django.admin.filters import AgeFilter, EntrypointFilter, QueueFilter, StateFilter
from pgq_django.admin.overview import overview, steer
from pgq_django.admin.paging import KeysetChangeList
from pgq_django.models import Job


class ChosenForm(ActionForm):
    """There is no "select all pages": an action reaches the jobs that were chosen."""

    def clean_select_across(self) -> bool:
        """Whatever was posted."""
        return False


class JobAdmin(QueueAdmin):
    """The list, one job's page, and the actions on both."""

    list_display = ("id", "badge", "task", "queue", "attempt", "made", "when")
    list_display_links = ("id", "task")
    list_filter = (StateFilter, QueueFilter, EntrypointFilter, AgeFilter)
    list_per_page = 50
    sortable_by = ()
    search_fields = ("id",)  # shows the field; get_search_results does the work
    search_help_text = "Id, result id, or a key."
    action_form = ChosenForm
    change_list_template = "admin/pgq_django/job_list.html"
    change_form_template = "admin/pgq_django/job.html"
    actions = tuple(f"{name}_jobs" for name in ACTIONS)
    fieldsets = (
        (None, {"fields": (
            "badge", "entrypoint", ("queue", "priority"), ("attempt", "max_attempts", "timeout"),
            ("enqueued", "due"), ("started", "finished"), ("running_on",),
            ("unique_key", "concurrency_key"),
        )}),
        ("What it was given", {"fields": ("payload_shown", "headers_shown")}),
        ("What became of it", {"fields": ("progress", "result_shown", "attempts")}),
    )  # fmt: skip

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type:
        return KeysetChangeList

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        rows = [row for _, group in self.fieldsets for row in group["fields"]]
        return tuple(name for row in rows for name in ((row,) if isinstance(row, str) else row))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        return queryset, False  # the change list reads the term

    # -- columns ----------------------------------------------------------------------------

    @admin.display(description="state")
    def badge(self, job: Job) -> str:
        """The state, as a word with a colour."""
        return format_html('<span class="pgq-state pgq-{}">{}</span>', job.state, job.state)

    @admin.display(description="enqueued")
    def made(self, job: Job) -> str:
        """How long ago it was enqueued."""
        return distance(job.created_at)

    @admin.display(description="task")
    def task(self, job: Job) -> str:
        """The entrypoint, which may be broken after its dots."""
        return format_html_join(
            mark_safe(".<wbr>"), "{}", ((p,) for p in job.entrypoint.split("."))
        )

    @admin.display(description="when")
    def when(self, job: Job) -> str:
        """When it is due, if it is not yet; when it ended, if it has."""
        return distance(job.run_at if job.state == "deferred" else ending(job))

    @admin.display(description="due")
    def due(self, job: Job) -> str:
        """When it may start, for its page."""
        return "at once" if job.run_at is None else moment(job.run_at)

    @admin.display(description="enqueued")
    def enqueued(self, job: Job) -> str:
        """When it was enqueued."""
        return moment(job.created_at)

    @admin.display(description="started")
    def started(self, job: Job) -> str:
        """When its last attempt began."""
        return moment(job.last_started_at)

    @admin.display(description="finished")
    def finished(self, job: Job) -> str:
        """When it had its last outcome, for its page."""
        return moment(ending(job))

    @admin.display(description="payload")
    def payload_shown(self, job: Job) -> str:
        """The payload, indented where it is JSON."""
        return pretty(job.payload)

    @admin.display(description="headers")
    def headers_shown(self, job: Job) -> str:
        """The headers."""
        return pretty(job.headers)

    @admin.display(description="result")
    def result_shown(self, job: Job) -> str:
        """The result of the last attempt."""
        return pretty(job.last_result)

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        """What the job said of itself last."""
        return progress_of(job)

    @admin.display(description="attempts")
    def attempts(self, job: Job) -> str:
        """Every attempt with its traceback."""
        return attempts_of(job)

    # -- actions ----------------------------------------------------------------------------

    @admin.action(description="Retry: run again", permissions=["retry"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Put finished jobs back."""
        return perform(self, request, "retry", queryset)

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """End waiting jobs; ask running ones to stop."""
        return perform(self, request, "cancel", queryset)

    @admin.action(description="Run now: make due", permissions=["run"])
    def run_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Don't wait for the time they were put off to."""
        return perform(self, request, "run", queryset)

    @admin.action(description="Discard: delete for good", permissions=["discard"])
    def discard_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Delete jobs with their history; running ones are asked to stop instead."""
        return perform(self, request, "discard", queryset)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return may_do(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return may_do(request, "cancel")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return may_do(request, "run")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """For the action of that name."""
        return may_do(request, "discard")

    # -- addresses --------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("overview/", wrap(self.overview_view), name="pgq_overview"),
            path("steer/", wrap(require_POST(self.steer_view)), name="pgq_steer"),
            path("<int:job>/do/<str:verb>/", wrap(require_POST(self.do_view)), name="pgq_do"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        verbs = [action for action in ACTIONS.values() if may_do(request, action.name)]
        context = {**(extra_context or {}), "pgq_actions": verbs}
        return super().change_view(request, object_id, form_url, context)

    def do_view(self, request: HttpRequest, job: int, verb: str) -> HttpResponse:
        """One action on one job."""
        if verb not in ACTIONS or not may_do(request, verb):
            raise PermissionDenied
        found = get_object_or_404(self.get_queryset(request), pk=job)
        asked = perform(self, request, verb, [found])
        if asked is not None:
            return asked
        if verb == "discard":
            return self.redirect("pgq_django_job_changelist")
        return self.redirect("pgq_django_job_change", job)

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Counts, charts, failures, what nobody serves."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return overview(self, request)

    def steer_view(self, request: HttpRequest) -> HttpResponse:
        """Pause or resume a queue."""
        if not may(request, "pgq_django.change_queue"):
            raise PermissionDenied
        steer(self, request)
        return self.redirect("pgq_overview")

    def redirect(self, name: str, *args: Any) -> HttpResponse:
        """To a page of this admin site: there may be several."""
        site = self.admin_site.name
        return HttpResponseRedirect(reverse(f"admin:{name}", args=args, current_app=site))


def ending(job: Job) -> Any:
    """When a job had its last outcome; None while it may have another."""
    return job.last_finished_at if job.state in ("succeeded", "failed", "cancelled") else None


def may_do(request: HttpRequest, name: str) -> bool:
    """Whether this user may start an action."""
    return may(request, ACTIONS[name].permission)
