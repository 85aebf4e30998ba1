"""The admin in a real browser, served by a real process, with real jobs in every state."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection

import pgq_django
from pgq_core import NewJob
from pgq_django.models import Job, Queue, Schedule, Worker
from pgq_django.verbs import Verbs, at_once
from tests.django.browser import PHONE, POSSIBLE, Tab, browser
from tests.django.many import fill
from tests.django.processes import worker
from tests.django.shop import tasks
from tests.django.support import empty_tables, state
from tests.django.test_shop import free_port, listens
from tests.support import until

pytestmark = pytest.mark.skipif(
    not POSSIBLE and "PGQ_TEST_REQUIRED" not in os.environ,
    reason="no chromium, or no playwright",
)
JOBS, SCHEDULES = "/admin/pgq_django/job/", "/admin/pgq_django/schedule/"
STATES = ("ready", "deferred", "blocked", "running", "succeeded", "failed", "cancelled")


@contextmanager
def served() -> Iterator[str]:
    """The site's address, while its server process runs."""
    port = free_port()
    settings = {"DJANGO_SETTINGS_MODULE": "tests.django.settings"}
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}"],
        env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: listens(port), patience=60.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def history() -> None:
    """Two thousand earlier jobs, one a second; new ones are numbered after them."""
    fill(connection, 1, 2000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('pgq_jobs', 'id'), 2000)")


def enqueue_all() -> dict[str, int]:
    """A job in every state, by what a worker makes of them."""
    made = {
        "succeeded": pgq_django.enqueue(tasks.write_note, args=["<b>tea</b>"]),
        "failed": pgq_django.enqueue(tasks.fail, args=["no such <i>thing</i>"]),
        "cancelled": pgq_django.enqueue(tasks.add, args=[1], delay=60),
        "running": pgq_django.enqueue(tasks.wait_for_note, args=["never"], concurrency_key="c"),
        "deferred": pgq_django.enqueue(tasks.add, args=[1], delay=3600, queue="slow"),
    }
    at_once(Verbs().cancel([made["cancelled"]], "not needed"))
    until(lambda: state(made["running"]) == "running")
    made["blocked"] = pgq_django.enqueue(tasks.wait_for_note, args=["x"], concurrency_key="c")
    made["ready"] = pgq_django.enqueue("nobody.knows", {"a": 1}, queue="lonely", unique_key="mine")
    for name, job in made.items():
        until(lambda name=name, job=job: state(job) == name)  # type: ignore[misc]
    return made


@pytest.fixture(scope="module")
def site(django_dsn: str) -> Iterator[tuple[Any, str, Any, dict[str, int]]]:
    """The browser, the site's address, a session that is logged in, and a job of each state."""
    User.objects.create_superuser("root", password="secret")
    rule = {"entrypoint": tasks.thread_name.module_path, "timezone": "Europe/Paris"}
    at_once(Verbs().set_schedule("nightly", "0 3 * * *", **rule))
    history()
    with worker("--shutdown-timeout", "1"), served() as address:
        jobs = enqueue_all()
        with browser() as chromium:
            yield chromium, address, logged_in(chromium, address), jobs
    empty_tables()


def logged_in(chromium: Any, address: str) -> Any:
    """Log in by the form; the cookies."""
    tab = Tab(chromium, address)
    tab.page.goto("/admin/")
    tab.page.get_by_label("Username").fill("root")
    tab.page.get_by_label("Password").fill("secret")
    assert "site administration" in tab.follow(tab.button("Log in"))
    found = tab.context.storage_state()
    tab.close()
    return found


@pytest.fixture
def jobs(site: Any) -> dict[str, int]:
    """A job of each state."""
    found: dict[str, int] = site[3]
    return found


@pytest.fixture
def tab(site: Any) -> Iterator[Tab]:
    """A page, logged in."""
    chromium, address, cookies, _ = site
    made = Tab(chromium, address, state=cookies)
    yield made
    made.close()


def shown(tab: Tab) -> list[int]:
    """The jobs of a list."""
    return [int(cell) for cell in tab.page.locator("#result_list .field-id").all_inner_texts()]


def press(tab: Tab, job: int, button: str) -> str:
    """Open a job's page, press a button, confirm; what the next page says."""
    tab.go(f"{JOBS}{job}/change/")
    assert f"{button} 1 job?".lower() in tab.follow(tab.button(button))
    tab.follow(tab.button("Yes, I’m sure"))
    return str(tab.page.locator(".messagelist").inner_text())


def test_overview(tab: Tab, jobs: dict[str, int]) -> None:
    """The overview shows counts, two charts, queues, workers, what fails and what nobody serves."""
    text = tab.go(f"{JOBS}overview/")
    tab.picture("overview")
    assert tab.page.locator("svg.pgq-chart").count() == 2
    assert tab.page.locator("svg .pgq-good").count() > 20
    for said in ("nobody serves", "nobody.knows", "failing tasks", "lookuperror", "alive"):
        assert said in text
    tab.follow(tab.page.get_by_role("link", name="1 blocked"))
    assert shown(tab) == [jobs["blocked"]]


def test_lists(tab: Tab, jobs: dict[str, int]) -> None:
    """Lists are filtered, searched and paged by clicks."""
    tab.go(JOBS)
    tab.picture("jobs")
    first = shown(tab)
    assert len(first) == 50
    tab.follow(tab.page.get_by_role("link", name="older →"))
    second = shown(tab)
    assert max(second) < min(first)
    tab.follow(tab.page.get_by_role("link", name="← newer"))
    assert shown(tab) == first
    filters = tab.page.locator("#changelist-filter")
    for name in STATES:
        tab.follow(filters.get_by_role("link", name=name, exact=True))
        assert jobs[name] in shown(tab)
    tab.go(JOBS)
    tab.follow(filters.get_by_role("link", name="slow", exact=True))
    assert shown(tab) == [jobs["deferred"]]
    tab.go(JOBS)
    for term, job in ((f"pgq-{jobs['failed']}", jobs["failed"]), ("mine", jobs["ready"])):
        tab.page.locator("#searchbar").fill(term)
        tab.follow(tab.button("Search"))
        assert shown(tab) == [job]


def test_a_job(tab: Tab, jobs: dict[str, int]) -> None:
    """A job's page shows what it was given, and each attempt with a traceback that unfolds."""
    text = tab.go(f"{JOBS}{jobs['failed']}/change/")
    assert "no such <i>thing</i>" in text
    assert "traceback" not in text
    assert tab.page.locator(".pgq-attempts tbody tr").count() == 3
    tab.page.locator(".pgq-attempts summary").first.click()
    tab.picture("job")
    assert "traceback (most recent call last)" in tab.text


def test_actions(tab: Tab, jobs: dict[str, int]) -> None:
    """Retry, cancel, run now and discard work by clicks, each after a page that asks."""
    made = {name: pgq_django.enqueue("nobody.knows", {"n": 1}, delay=delay)
            for name, delay in (("cancel", None), ("run", 3600), ("discard", None))}  # fmt: skip
    assert "1 job retried" in press(tab, jobs["failed"], "Retry")
    until(lambda: Job.objects.get(pk=jobs["failed"]).attempt == 6)
    assert "1 job cancelled" in press(tab, made["cancel"], "Cancel")
    assert state(made["cancel"]) == "cancelled"
    assert "1 job due" in press(tab, made["run"], "Run now")
    until(lambda: state(made["run"]) == "ready")
    assert "1 job discarded" in press(tab, made["discard"], "Discard")
    assert not Job.objects.filter(pk=made["discard"]).exists()
    entries = LogEntry.objects.filter(user__username="root").order_by("pk")
    assert [entry.object_id for entry in entries] == [
        str(job) for job in (jobs["failed"], made["cancel"], made["run"], made["discard"])
    ]


def test_actions_on_many(tab: Tab) -> None:
    """Several jobs are chosen in the list; going back from the question changes nothing."""
    made = [one.id for one in pgq_django.enqueue_many([NewJob("many", queue="many")] * 3)]
    tab.go(f"{JOBS}?queue=many")
    tab.page.locator("#action-toggle").check()
    tab.page.get_by_label("Action:").select_option("discard_jobs")
    assert "discard 3 jobs?" in tab.follow(tab.page.locator("button[name=index]").first)
    tab.picture("question")
    tab.follow(tab.button("No, take me back"))
    assert Job.objects.filter(pk__in=made).count() == 3


def test_queues(tab: Tab) -> None:
    """A queue is paused and resumed by a click."""
    tab.go(f"{JOBS}overview/")
    row = tab.page.locator("tr", has_text=re.compile(r"^\s*slow"))
    tab.follow(row.get_by_role("button", name="Pause"))
    assert "paused" in row.inner_text()
    assert Queue.objects.get(queue="slow").paused_at is not None
    tab.follow(row.get_by_role("button", name="Resume"))
    assert "paused" not in row.inner_text()
    assert not Queue.objects.filter(queue="slow", paused_at__isnull=False).exists()


def test_schedules(tab: Tab) -> None:
    """A schedule is edited in its form, a wrong rule is explained, and it is run by an action."""
    tab.go(f"{SCHEDULES}nightly/change/")
    tab.page.get_by_label("Cron:").fill("nine")
    assert "give five fields" in tab.follow(tab.button("Save"))
    tab.picture("schedule")
    tab.page.get_by_label("Cron:").fill("30 4 * * *")
    tab.follow(tab.button("Save"))
    assert Schedule.objects.get().cron == "30 4 * * *"
    tab.picture("schedules")
    before = set(Job.objects.filter(entrypoint=tasks.thread_name.module_path))
    tab.page.locator("#action-toggle").check()
    tab.page.get_by_label("Action:").select_option("run_schedules")
    tab.follow(tab.page.locator("button[name=index]").first)
    assert "run as job" in tab.page.locator(".messagelist").inner_text()
    (made,) = set(Job.objects.filter(entrypoint=tasks.thread_name.module_path)) - before
    until(lambda: state(made.pk) == "succeeded")


LOOKS: dict[str, dict[str, Any]] = {
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True},
    "phone-dark": {"viewport": PHONE, "is_mobile": True, "color_scheme": "dark"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks(site: Any, look: str) -> None:
    """Every page is fit for a dark screen and for a phone: nothing makes it scroll sideways."""
    chromium, address, cookies, jobs = site
    tab = Tab(chromium, address, state=cookies, **LOOKS[look])
    pages = {
        "overview": f"{JOBS}overview/",
        "jobs": f"{JOBS}?state=failed",
        "job": f"{JOBS}{jobs['failed']}/change/",
        "schedules": SCHEDULES,
        "schedule": f"{SCHEDULES}nightly/change/",
        "worker": f"/admin/pgq_django/worker/{Worker.objects.get().pk}/change/",
    }
    for name, page in pages.items():
        tab.go(page)
        if name == "job":
            tab.page.locator(".pgq-attempts summary").first.click()
        tab.picture(f"{name}-{look}")
        assert tab.too_wide == [], name
        dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark != "rgb(255, 255, 255)") == ("dark" in look)
    tab.close()
