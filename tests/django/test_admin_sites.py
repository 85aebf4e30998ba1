"""The admin on a site of one's own, beside Django's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import path

import pgq_django
from pgq_django import statements
from pgq_django.admin import JobAdmin
from pgq_django.models import Job

ops = admin.AdminSite(name="ops")
ops.register(Job, JobAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("ops/", ops.urls)]


@override_settings(ROOT_URLCONF=__name__)
def test_every_link_stays_on_its_site(db: Any) -> None:
    """With two admin sites, the pages of one never lead to the other."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    made = pgq_django.enqueue("x")
    statements.run("default", "register_worker", name="w-1", lease=15.0, info="{}")
    jobs = "/ops/pgq_django/job/"
    pages = [client.get(f"{jobs}{page}") for page in ("", "overview/", f"{made}/change/")]
    pages.append(client.post(f"{jobs}{made}/do/discard/"))
    assert [page.status_code for page in pages] == [200] * 4
    assert not [page for page in pages if b'"/admin/' in page.content]
    for address, data in (
        (f"{made}/do/cancel/", {"post": "yes"}),
        (f"{made}/do/discard/", {"post": "yes"}),
        ("steer/", {"queue": "mail", "verb": "pause"}),
    ):
        assert client.post(f"{jobs}{address}", data).headers["Location"].startswith(jobs)
