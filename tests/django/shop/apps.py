"""The app; a receiver leaves a note of how some tasks have ended."""

from __future__ import annotations

import os
from typing import Any

from django.apps import AppConfig

WATCHED = ("sleep_long", "look_and_return", "wait_for_ever")


class ShopConfig(AppConfig):
    """`tests.django.shop`."""

    name = "tests.django.shop"

    def ready(self) -> None:
        from pgq_django.compat import task_finished

        task_finished.connect(note_the_end)
        if "PGQ_TEST_SPANS" in os.environ:
            from tests.django.shop import telemetry

            telemetry.set_up(os.environ["PGQ_TEST_SPANS"])


def note_the_end(task_result: Any, **_: Any) -> None:
    """Write how a watched task ended, as the signal's receivers are told."""
    from tests.django.shop.models import Note

    name = task_result.task.func.__name__
    if name in WATCHED:
        error = task_result.errors[-1].exception_class_path if task_result.errors else "-"
        Note.objects.create(text=f"{name} {task_result.status} {error}")
