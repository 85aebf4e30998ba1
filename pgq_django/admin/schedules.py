"""Schedules: see them, pause them, run them; those not declared in code can be edited."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from pgq_core.errors import InvalidInput
from pgq_core.models import check_text
from pgq_core.schedules import CATCH_UP, check_cron, check_timezone, next_ticks
from pgq_django.admin.base import QueueAdmin, may
from pgq_django.admin.detail import moment
from pgq_django.databases import database_of
from pgq_django.models import Schedule
from pgq_django.verbs import at_once


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks what the core would refuse."""

    catch_up = forms.ChoiceField(choices=[(word, word) for word in CATCH_UP], initial="last")

    def clean_name(self) -> str:
        """A new one: rules in code, and those of others, are not overwritten unseen."""
        name = str(checked(partial(check_text, "name"), self.cleaned_data["name"]))
        if Schedule.objects.using(database_of()).filter(pk=name).exists():
            raise forms.ValidationError(f"There is a schedule named {name!r} already.")
        return name

    def clean_entrypoint(self) -> str:
        """What the database can hold."""
        return str(checked(partial(check_text, "entrypoint"), self.cleaned_data["entrypoint"]))

    def clean_queue(self) -> str:
        """What the database can hold."""
        return str(checked(partial(check_text, "queue"), self.cleaned_data["queue"]))

    def clean_cron(self) -> str:
        """A rule of five fields, or an alias."""
        return str(checked(check_cron, self.cleaned_data["cron"]))

    def clean_timezone(self) -> str:
        """A name of the time zone database."""
        checked(check_timezone, self.cleaned_data["timezone"])
        return str(self.cleaned_data["timezone"])

    def validate_unique(self) -> None:
        """Asked in `clean_name`, of the database the queue lives in."""


def checked(check: Any, value: str) -> Any:
    """The core's verdict as the form's."""
    try:
        return check(value)
    except InvalidInput as error:
        raise forms.ValidationError(str(error)) from None


class ScheduleAdmin(QueueAdmin):
    """Rules in code are the code's; others are made and changed here."""

    form = ScheduleForm
    list_display = ("name", "cron", "timezone", "upcoming", "last_at", "origin")
    fields = ("name", "cron", "timezone", "catch_up", "entrypoint", "queue", "priority")
    actions = ("run_schedules", "pause_schedules", "resume_schedules")
    formfield_overrides = {  # noqa: RUF012
        models.TextField: {"widget": forms.TextInput(attrs={"class": "vTextField"})}
    }

    @admin.display(description="next")
    def upcoming(self, schedule: Schedule) -> Any:
        """The next tick, or why there is none: others may know rules and zones we do not."""
        if schedule.paused_at is not None:
            return "paused"
        try:
            check_cron(schedule.cron)
            now = datetime.now(timezone.utc)
            return moment(next_ticks(schedule.cron, schedule.timezone, now, 1)[0])
        except InvalidInput as error:
            return str(error)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, "pgq_django.add_schedule")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        ours = obj is not None and obj.origin == "code"
        return not ours and may(request, "pgq_django.change_schedule")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "pgq_django.delete_schedule")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """For the actions: also on rules declared in code."""
        return may(request, "pgq_django.change_schedule")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("name",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        at_once(
            self.verbs.set_schedule(
                obj.name, obj.cron, entrypoint=obj.entrypoint, timezone=obj.timezone,
                catch_up=obj.catch_up, queue=obj.queue, priority=obj.priority,
                payload=None if obj.payload is None else bytes(obj.payload), headers=obj.headers,
                jitter=obj.jitter,
            )
        )  # fmt: skip

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        at_once(self.verbs.delete_schedule(obj.name))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for schedule in queryset:
            self.delete_model(request, schedule)

    @admin.action(description="Run now, besides the plan", permissions=["steer"])
    def run_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """One job each."""
        for schedule in queryset:
            job = at_once(self.verbs.run_schedule(schedule.name))
            self.told(request, schedule, f"run as job {job}")

    @admin.action(description="Pause", permissions=["steer"])
    def pause_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """No ticks until resumed."""
        for schedule in queryset:
            at_once(self.verbs.pause_schedule(schedule.name))
            self.told(request, schedule, "paused")

    @admin.action(description="Resume", permissions=["steer"])
    def resume_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """From the next tick on."""
        for schedule in queryset:
            at_once(self.verbs.resume_schedule(schedule.name))
            self.told(request, schedule, "resumed")

    def told(self, request: HttpRequest, schedule: Any, what: str) -> None:
        """Log it and say it."""
        self.log_change(request, schedule, what)
        self.message_user(request, f"{schedule.name}: {what}.", messages.SUCCESS)
