"""The admin: what it shows, what it does, and who may."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, TestCase, override_settings

import pgq_django
from pgq_core import NewJob
from pgq_django.models import Job, Schedule
from pgq_django.testing import run_pending
from pgq_django.verbs import Verbs, at_once
from tests.django.shop import tasks

JOBS = "/admin/pgq_django/job/"


class Admin(TestCase):
    """A superuser, and a user with given permissions."""

    def setUp(self) -> None:
        self.client.force_login(User.objects.create_superuser("root"))

    def as_user(self, *names: str) -> None:
        user = User.objects.create_user("clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        self.client.force_login(user)

    def page(self, address: str, **params: Any) -> str:
        response = self.client.get(address, params)
        assert response.status_code == 200, response
        return response.content.decode()

    def ids(self, **params: Any) -> list[int]:
        """The jobs a list shows, in its order."""
        return [int(n) for n in re.findall(r'value="(\d+)" class="action-select"',
                                           self.page(JOBS, **params))]  # fmt: skip

    def act(self, action: str, *jobs: int) -> str:
        """Choose jobs in the list, start an action, confirm it, and read what it says."""
        data = {"action": f"{action}_jobs", "_selected_action": list(jobs), "post": "yes"}
        return self.client.post(JOBS, data, follow=True).content.decode()


class Lists(Admin):
    """The list of jobs."""

    def test_states_filters_and_search(self) -> None:
        """Jobs are filtered by state, queue, task and age, and found by id and by key."""
        ready = pgq_django.enqueue(tasks.add, args=[1])
        later = pgq_django.enqueue(tasks.add, args=[1], delay=60, queue="slow")
        failed = pgq_django.enqueue(tasks.fail_once, args=["x"])
        keyed = pgq_django.enqueue("other", unique_key="k-1")
        run_pending(ids=[failed])
        run_pending(ids=[ready])
        assert self.ids() == [keyed, failed, later, ready]
        assert self.ids(state="deferred") == [later]
        assert self.ids(state="failed") == [failed]
        assert self.ids(state="ready") == [keyed]
        assert self.ids(state="running") == self.ids(state="blocked") == []
        assert self.ids(queue="slow") == [later]
        assert self.ids(entrypoint="other") == [keyed]
        assert self.ids(age="1h") == [keyed, failed, later, ready]
        assert self.ids(q=str(later)) == self.ids(q=f"pgq-{later}") == [later]
        assert self.ids(q="k-1") == [keyed]
        assert self.ids(q="9" * 30) == self.ids(q="nothing") == []

    def test_pages_by_key(self) -> None:
        """Pages follow the id: forth and back again, without counting and without an offset."""
        pgq_django.enqueue_many([NewJob("a") for _ in range(120)])
        first = self.ids()
        with self.assertNumQueries(6) as captured:
            second = self.ids(before=first[-1])
        third = self.ids(before=second[-1])
        assert (len(first), len(second), len(third)) == (50, 50, 20)
        assert first[-1] - 1 == second[0]
        assert self.ids(after=second[0]) == first
        assert self.ids(after=third[0]) == second
        page = self.page(JOBS, before=first[-1])
        assert 'rel="prev"' in page
        assert 'rel="next"' in page
        assert 'rel="prev"' not in self.page(JOBS)
        assert 'rel="next"' not in self.page(JOBS, before=second[-1])
        statements = " ".join(query["sql"] for query in captured.captured_queries)
        assert "OFFSET" not in statements
        assert "COUNT(*)" not in statements

    def test_one_job(self) -> None:
        """A job's page shows payload, every attempt with its traceback, and offers the actions."""
        made = pgq_django.enqueue(tasks.fail, args=["<b>bold</b>"])
        run_pending(now=timedelta(hours=1))
        page = self.page(f"{JOBS}{made}/change/")
        assert "&lt;b&gt;bold&lt;/b&gt;" in page
        assert "<b>bold" not in page
        assert page.count("Traceback (most recent call last)") == 3
        assert f"{JOBS}{made}/do/retry/" in page
        assert "Save" not in page

    def test_bodies_that_are_no_json(self) -> None:
        """Any payload can be looked at."""
        made = pgq_django.enqueue("binary", b"\x00\xff")
        assert r"b&#x27;\x00\xff&#x27;" in self.page(f"{JOBS}{made}/change/")
        made = pgq_django.enqueue("half", b'{"half": "\\ud800"}')
        assert r"&quot;\ud800&quot;" in self.page(f"{JOBS}{made}/change/")
        made = pgq_django.enqueue("deep", b"[" * 100_000)
        assert "b&#x27;[[[" in self.page(f"{JOBS}{made}/change/")


class Actions(Admin):
    """Retry, cancel, run now, discard."""

    def test_each_does_what_it_can_and_logs_it(self) -> None:
        """What cannot be done to one job does not stop the next; each that was done is logged."""
        keyed = pgq_django.enqueue(tasks.fail_once, args=["x"], unique_key="k")
        other = pgq_django.enqueue(tasks.fail_once, args=["y"])
        run_pending()
        holder = pgq_django.enqueue(tasks.fail_once, args=["x"], unique_key="k")
        said = self.act("retry", keyed, holder, other)
        assert "Retry: 1 job retried." in said
        assert "Retry: 1 job held (another job holds its unique key)." in said
        assert "Retry: 1 job running (it runs or waits already)." in said
        assert [entry.object_id for entry in LogEntry.objects.all()] == [str(other)]

    def test_cancel_run_now_and_discard(self) -> None:
        """Waiting jobs are cancelled, deferred ones made due, any can be deleted for good."""
        later = pgq_django.enqueue(tasks.add, args=[1], delay=3600)
        assert "Run now: 1 job due" in self.act("run", later)
        assert [ran.id for ran in run_pending()] == [later]
        waiting = pgq_django.enqueue(tasks.add, args=[1])
        assert "Cancel: 1 job cancelled" in self.act("cancel", waiting)
        assert "Cancel: 1 job finished (nothing was done)" in self.act("cancel", waiting)
        assert "Run now: 1 job succeeded (nothing was done)" in self.act("run", later)
        assert "Discard: 2 jobs discarded" in self.act("discard", waiting, later)
        assert not Job.objects.exists()
        assert LogEntry.objects.count() == 4

    def test_from_the_jobs_page(self) -> None:
        """The same actions stand on a job's page."""
        made = pgq_django.enqueue(tasks.add, args=[1])
        address, yes = f"{JOBS}{made}/do/cancel/", {"post": "yes"}
        said = self.client.post(address, yes, follow=True).content.decode()
        assert "Cancel: 1 job cancelled" in said
        assert self.client.post(f"{JOBS}999/do/cancel/").status_code == 404
        assert self.client.post(f"{JOBS}{made}/do/explode/").status_code == 403
        assert self.client.get(f"{JOBS}{made}/do/cancel/").status_code == 405

    def test_they_ask_first(self) -> None:
        """Nothing is done before it was confirmed on a page that says what it means."""
        made = pgq_django.enqueue(tasks.add, args=[1])
        chosen = {"action": "discard_jobs", "_selected_action": [made]}
        for address, data in ((JOBS, chosen), (f"{JOBS}{made}/do/discard/", {})):
            page = self.client.post(address, data).content.decode()
            assert "Discard 1 job?" in page
            assert "deleted for good" in page
            assert 'name="post" value="yes"' in page
            assert Job.objects.get().state == "ready"

    def test_only_what_was_chosen(self) -> None:
        """Asking for "all pages" by hand does not reach jobs that were not chosen."""
        one, other = (pgq_django.enqueue(tasks.add, args=[n]) for n in (1, 2))
        data = {"action": "cancel_jobs", "post": "yes", "select_across": "1"}
        self.client.post(JOBS, data)
        assert Job.objects.filter(state="ready").count() == 2
        self.client.post(JOBS, {**data, "_selected_action": [one]})
        assert [job.pk for job in Job.objects.filter(state="ready")] == [other]

    def test_permissions(self) -> None:
        """Each action needs its own permission; looking needs `view`."""
        made = pgq_django.enqueue(tasks.add, args=[1])
        self.as_user("view_job", "cancel_job")
        page = self.page(JOBS)
        assert "cancel_jobs" in page
        assert "discard_jobs" not in page
        discard = self.client.post(f"{JOBS}{made}/do/discard/", {"post": "yes"})
        assert discard.status_code == 403
        self.act("discard", made)
        assert Job.objects.get().state == "ready"
        self.act("cancel", made)
        assert Job.objects.get().state == "cancelled"
        assert self.client.post(f"{JOBS}steer/", {"queue": "q", "verb": "pause"}).status_code == 403

    def test_nobody_without_permission(self) -> None:
        """Without `view` there is nothing to see."""
        self.as_user("cancel_job")
        assert self.client.get(JOBS).status_code == 403
        assert self.client.get(f"{JOBS}overview/").status_code == 403

    def test_csrf(self) -> None:
        """Actions are protected against other sites."""
        made = pgq_django.enqueue(tasks.add, args=[1])
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.get())
        assert strict.post(f"{JOBS}{made}/do/cancel/", {"post": "yes"}).status_code == 403


class Overview(Admin):
    """The overview page."""

    def test_it_shows_what_matters(self) -> None:
        """Counts, charts, failing tasks, queues and what nobody serves are on one page."""
        pgq_django.enqueue(tasks.fail_once, args=["boom"])
        pgq_django.enqueue(tasks.add, args=[1])
        run_pending()
        pgq_django.enqueue("nobody.knows", queue="lonely")
        page = self.page(f"{JOBS}overview/")
        assert page.count("<svg") >= 2
        assert "1 succeeded, 1 failed" in page
        assert "LookupError: boom" in page
        assert "Nobody serves" in page
        assert "nobody.knows" in page
        assert "<script src" not in page.split("content-main")[1]

    def test_empty(self) -> None:
        """With no job at all the page says what to do."""
        assert "manage.py pgq_worker" in self.page(f"{JOBS}overview/")

    def test_pause_and_resume(self) -> None:
        """A queue is paused and resumed by a button."""
        pgq_django.enqueue(tasks.add, args=[1], queue="q")
        for verb, shown in (("pause", "Resume"), ("resume", "Pause")):
            data = {"queue": "q", "verb": verb}
            page = self.client.post(f"{JOBS}steer/", data, follow=True).content.decode()
            assert f">{shown}</button>" in page


class Schedules(Admin):
    """Schedules and workers."""

    address = "/admin/pgq_django/schedule/"

    def test_a_schedule_of_ones_own(self) -> None:
        """A schedule is made, changed, paused, run and deleted in the admin."""
        data = {"name": "n", "cron": "0 9 * * *", "timezone": "Europe/Paris", "catch_up": "last",
                "entrypoint": tasks.thread_name.module_path, "queue": "default",
                "priority": 5}  # fmt: skip
        bad = self.client.post(f"{self.address}add/", {**data, "cron": "nine", "timezone": "X"})
        assert b"give five fields" in bad.content
        assert b"IANA" in bad.content
        self.client.post(f"{self.address}add/", data)
        assert Schedule.objects.get().origin == "user"
        self.client.post(f"{self.address}n/change/", {**data, "cron": "0 10 * * *"})
        assert Schedule.objects.get().cron == "0 10 * * *"
        for action in ("run", "pause", "resume"):
            chosen = {"action": f"{action}_schedules", "_selected_action": ["n"]}
            self.client.post(self.address, chosen, follow=True)
        assert [ran.outcome for ran in run_pending()] == ["succeeded"]
        assert "Europe/Paris" in self.page(self.address)
        self.client.post(f"{self.address}n/delete/", {"post": "yes"})
        assert not Schedule.objects.exists()

    def test_rules_nobody_here_can_read(self) -> None:
        """A schedule with a rule or a time zone that is unknown here says so in the list."""
        at_once(Verbs().set_schedule("n", "0 9 * * *", entrypoint="a"))
        rules = [("nine", "UTC", "give five fields"), ("0 9 * * *", "Mars/Base", "IANA")]
        for cron, zone, said in rules:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE pgq_schedules SET cron = %s, timezone = %s", [cron, zone])
            assert said in self.page(self.address)

    @override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo")
    def test_ticks_without_time_zones(self) -> None:
        """Where USE_TZ is off the next tick is shown in the site's time zone like every time."""
        at_once(Verbs().set_schedule("n", "0 9 * * *", entrypoint="a", timezone="UTC"))
        assert "6 p.m." in self.page(self.address)

    def test_what_the_form_does_not_show_is_kept(self) -> None:
        """Editing a schedule leaves its payload, headers and jitter as they are."""
        at_once(
            Verbs().set_schedule(
                "n", "0 9 * * *", entrypoint=tasks.add.module_path, headers={"h": 1}, jitter=2.0,
                payload={"args": [1], "kwargs": {}},
            )
        )  # fmt: skip
        data = {"cron": "0 10 * * *", "timezone": "UTC", "catch_up": "last", "queue": "default",
                "entrypoint": tasks.add.module_path, "priority": 5}  # fmt: skip
        self.client.post(f"{self.address}n/change/", data)
        kept = Schedule.objects.get()
        assert (kept.cron, kept.headers, kept.jitter) == ("0 10 * * *", {"h": 1}, 2.0)
        assert json.loads(bytes(kept.payload)) == {"args": [1], "kwargs": {}}

    def test_a_name_that_is_taken(self) -> None:
        """A new schedule does not overwrite one of the same name, in code or elsewhere."""
        at_once(Verbs().set_schedule("n", "0 9 * * *", entrypoint="a"))
        data = {"name": "n", "cron": "0 10 * * *", "timezone": "UTC", "catch_up": "last",
                "queue": "x" * 1001, "entrypoint": "b", "priority": 5}  # fmt: skip
        said = self.client.post(f"{self.address}add/", data).content.decode()
        assert "There is a schedule named" in said
        assert "1001 bytes" in said
        assert Schedule.objects.get().entrypoint == "a"

    def test_rules_in_code_are_the_codes(self) -> None:
        """A rule declared in code can be paused and run, not edited."""
        at_once(
            Verbs().call(
                "declare_schedule", name="c", cron="0 9 * * *", timezone="UTC", catch_up="last",
                entrypoint="a", queue="q", priority=5, payload=None, headers=None, jitter=0.0,
                origin="code",
            )
        )  # fmt: skip
        assert "Save" not in self.page(f"{self.address}c/change/")

    def test_workers(self) -> None:
        """Workers are shown alive, stalled or dead."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO pgq_workers (name, lease_seconds, beat_at, stalled_seconds) VALUES "
                "('w-alive', 15, clock_timestamp(), 0), ('w-stalled', 15, clock_timestamp(), 3), "
                "('w-dead', 15, clock_timestamp() - interval '1 hour', 0)"
            )
        page = self.page("/admin/pgq_django/worker/")
        for state in ("alive", "stalled", "dead"):
            assert f'pgq-{state}">{state}' in page
        worker = re.search(r"worker/(\d+)/change", page)
        assert worker
        assert "serves" in self.page(f"/admin/pgq_django/worker/{worker[1]}/change/").lower()


@pytest.mark.parametrize("path", ["job/", "schedule/", "worker/", "job/overview/"])
def test_on_another_alias(database: str, db: Any, path: str) -> None:
    """The admin reads from the alias the queue lives in."""
    from django.test import override_settings

    from tests.django.support import alias_on

    stated = {"BACKEND": "pgq_django.PgqBackend", "QUEUES": [], "OPTIONS": {"database": "other"}}
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    with alias_on(database), override_settings(TASKS={"default": stated}):
        pgq_django.enqueue("elsewhere")
        response = client.get(f"/admin/pgq_django/{path}")
        assert response.status_code == 200
        if "job" in path:
            assert b"elsewhere" in response.content
