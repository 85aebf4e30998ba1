"""The admin's log: one entry per thing done, under the name of what it was done to."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.test import TestCase

from tests.django.shop import tasks

SCHEDULES = "/admin/pgq_django/schedule/"
RULE = {"name": "nightly", "cron": "0 9 * * *", "timezone": "Europe/Paris", "catch_up": "last",
        "entrypoint": tasks.thread_name.module_path, "queue": "default", "priority": 5}  # fmt: skip


class Logged(TestCase):
    """What a superuser does."""

    def setUp(self) -> None:
        self.root = User.objects.create_superuser("root")
        self.client.force_login(self.root)

    def does(self, address: str, data: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Post a form; the entries it has left, as (object, action, message)."""
        LogEntry.objects.all().delete()
        page = self.client.post(address, data, follow=True)
        assert page.status_code == 200
        entries = LogEntry.objects.filter(user=self.root)
        return [(e.object_id, e.action_flag, e.get_change_message()) for e in entries]

    def test_queues(self) -> None:
        """Pausing and resuming a queue leaves one entry each, under the queue's name."""
        address = "/admin/pgq_django/job/steer/"
        for verb in ("pause", "resume"):
            assert self.does(address, {"queue": "mail", "verb": verb}) == [
                ("mail", CHANGE, f"{verb}d")
            ]
        assert LogEntry.objects.get().content_type.model == "queue"
        assert b"mail" in self.client.get("/admin/").content
        assert self.does(address, {"queue": "mail", "verb": "explode"}) == []

    def test_schedules_are_saved(self) -> None:
        """Making, changing and deleting a schedule leaves one entry each."""
        assert self.does(f"{SCHEDULES}add/", RULE) == [("nightly", ADDITION, "Added.")]
        changed = self.does(f"{SCHEDULES}nightly/change/", {**RULE, "cron": "0 10 * * *"})
        assert changed == [("nightly", CHANGE, "Changed Cron.")]
        gone = self.does(f"{SCHEDULES}nightly/delete/", {"post": "yes"})
        assert [entry[:2] for entry in gone] == [("nightly", DELETION)]

    def test_a_schedule_that_is_refused(self) -> None:
        """A schedule that could not be saved leaves none."""
        assert self.does(f"{SCHEDULES}add/", {**RULE, "cron": "nine"}) == []

    def test_schedules_are_steered(self) -> None:
        """Pausing, resuming and running schedules leaves one entry each, per schedule."""
        for name in ("one", "two"):
            self.does(f"{SCHEDULES}add/", {**RULE, "name": name})
        for action, said in (("pause", "paused"), ("resume", "resumed"), ("run", "run as job")):
            chosen = {"action": f"{action}_schedules", "_selected_action": ["one", "two"]}
            entries = self.does(SCHEDULES, chosen)
            assert sorted(entry[:2] for entry in entries) == [("one", CHANGE), ("two", CHANGE)]
            assert all(message.startswith(said) for *_, message in entries)
