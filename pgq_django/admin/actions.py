"""Retry, cancel, run now, discard: asked for once more, then done; what cannot be done to one job
does not stop the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse

from pgq_django.models import Job
from pgq_django.verbs import Verbs, at_once

Verdicts = Coroutine[Any, Any, dict[int, str]]


@dataclass(frozen=True)
class Action:
    """One verb: what it does in words, and which of its verdicts mean that it was done."""

    name: str
    label: str
    means: str
    call: Callable[[Verbs, list[int]], Verdicts]
    done: tuple[str, ...]

    @property
    def permission(self) -> str:
        """The permission's code name."""
        return f"pgq_django.{self.name}_job"


ACTIONS = {
    action.name: action
    for action in (
        Action(
            "retry",
            "Retry",
            "They will run again, whatever they did before.",
            lambda verbs, ids: verbs.retry(ids),
            ("retried",),
        ),
        Action(
            "cancel",
            "Cancel",
            "They will not run; those that run now are asked to stop.",
            lambda verbs, ids: verbs.cancel(ids, "cancelled in the admin"),
            ("cancelled", "requested"),
        ),
        Action(
            "run",
            "Run now",
            "They will be due at once, instead of when they were put off to.",
            lambda verbs, ids: verbs.run_now(ids),
            ("due",),
        ),
        Action(
            "discard",
            "Discard",
            "They will be deleted for good, with their history; those that run now are asked to "
            "stop instead.",
            lambda verbs, ids: verbs.discard(ids),
            ("discarded",),
        ),
    )
}
WHY = {
    "held": "another job holds its unique key",
    "requested": "it runs and was asked to stop",
    "running": "it runs or waits already",
    "unknown": "it is gone",
}


def perform(
    admin: Any, request: HttpRequest, name: str, jobs: Iterable[Job]
) -> TemplateResponse | None:
    """Ask whether it is meant; once that is so, do it."""
    action, chosen = ACTIONS[name], {job.pk: job for job in jobs}
    if request.POST.get("post") != "yes":
        return question(admin, request, action, list(chosen.values()))
    done(admin, request, action, chosen)
    return None


def question(admin: Any, request: HttpRequest, action: Action, jobs: list[Job]) -> TemplateResponse:
    """The page between a click and what it does; its form comes back to the same address."""
    context = {
        **admin.admin_site.each_context(request),
        "title": f"{action.label} {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}?",
        "opts": admin.model._meta,
        "media": admin.media,
        "action": action,
        "jobs": jobs,
        "posted": request.POST.get("action"),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    request.current_app = admin.admin_site.name  # for links in the template
    return TemplateResponse(request, "admin/pgq_django/confirm.html", context)


def done(admin: Any, request: HttpRequest, action: Action, chosen: dict[int, Job]) -> None:
    """Do it, log it once per job, and say what happened to how many."""
    verdicts = at_once(action.call(admin.verbs, list(chosen)))
    for job, verdict in verdicts.items():
        if verdict in action.done:
            admin.log_change(request, chosen[job], f"{action.label}: {verdict}")
    for verdict, count in Counter(verdicts.values()).items():
        why = WHY.get(verdict, "" if verdict in action.done else "nothing was done")
        why = f" ({why})" if why else ""
        level = messages.SUCCESS if verdict in action.done else messages.WARNING
        jobs_word = "job" if count == 1 else "jobs"
        admin.message_user(request, f"{action.label}: {count} {jobs_word} {verdict}{why}.", level)
