"""Retry, cancel, run now, discard: what cannot be done to one job does not stop the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from pgq_django.models import Job
from pgq_django.verbs import Verbs, at_once

Verdicts = Coroutine[Any, Any, dict[int, str]]


@dataclass(frozen=True)
class Action:
    """One verb: the permission it needs, and which of its verdicts mean that it was done."""

    name: str
    label: str
    call: Callable[[Verbs, list[int]], Verdicts]
    done: tuple[str, ...]

    @property
    def permission(self) -> str:
        """The permission's code name."""
        return f"pgq_django.{self.name}_job"


ACTIONS = {
    action.name: action
    for action in (
        Action("retry", "Retry", lambda verbs, ids: verbs.retry(ids), ("retried",)),
        Action(
            "cancel",
            "Cancel",
            lambda verbs, ids: verbs.cancel(ids, "cancelled in the admin"),
            ("cancelled", "requested"),
        ),
        Action("run", "Run now", lambda verbs, ids: verbs.run_now(ids), ("due",)),
        Action("discard", "Discard", lambda verbs, ids: verbs.discard(ids), ("discarded",)),
    )
}
WHY = {
    "held": "another job holds its unique key",
    "requested": "it runs and was asked to stop",
    "running": "it runs or waits already",
    "unknown": "it is gone",
}


def perform(admin: Any, request: HttpRequest, name: str, jobs: Iterable[Job]) -> None:
    """Do it, log it once per job, and say what happened to how many."""
    action, chosen = ACTIONS[name], {job.pk: job for job in jobs}
    verdicts = at_once(action.call(admin.verbs, list(chosen)))
    for job, verdict in verdicts.items():
        if verdict in action.done:
            admin.log_change(request, chosen[job], f"{action.label}: {verdict}")
    for verdict, count in Counter(verdicts.values()).items():
        why = f" ({WHY[verdict]})" if verdict in WHY else ""
        level = messages.SUCCESS if verdict in action.done else messages.WARNING
        jobs_word = "job" if count == 1 else "jobs"
        admin.message_user(request, f"{action.label}: {count} {jobs_word} {verdict}{why}.", level)
