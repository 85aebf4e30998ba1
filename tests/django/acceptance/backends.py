"""Our backend with the handles Django's cases use, `results` and `clear()`; and a broken one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection, connections

from pgq_django.backend import PgqBackend
from pgq_django.models import JobBody
from pgq_django.results import job_id, result_id
from pgq_django.task_options import TaskOptions
from pgq_django.testing import run_pending

T = TypeVar("T")


def off_the_loop(call: Callable[[], T]) -> T:
    """Some cases touch the handles from a coroutine: then the ORM runs in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    found: list[T] = []

    def target() -> None:
        try:
            found.append(call())
        finally:
            connections.close_all()

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return found[0]


class AcceptanceBackend(PgqBackend):
    """Every stored job as a result, oldest first."""

    @property
    def results(self) -> list[Any]:
        def read() -> list[Any]:
            ids = JobBody.objects.order_by("id").values_list("id", flat=True)
            return [self.get_result(result_id(job)) for job in ids]

        return off_the_loop(read)

    def clear(self) -> None:
        def empty() -> None:
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE pgq_jobs, pgq_ready, pgq_deferred, pgq_attempts")

        off_the_loop(empty)


class BrokenBackend(AcceptanceBackend):
    """Stores another queue than it was told: the cases must notice."""

    def _store(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super()._store(task, args, kwargs)
        object.__setattr__(result, "kwargs", {"wrong": True})
        return result


class DrainingBackend(AcceptanceBackend):
    """Enqueues, runs the job by the worker's own code in this process, and reads it back."""

    task_options = TaskOptions(max_attempts=1)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super().enqueue(task, args, kwargs)
        drain(result)
        result.refresh()
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = await super().aenqueue(task, args, kwargs)
        await sync_to_async(drain)(result)
        await result.arefresh()
        return result


def drain(result: Any) -> None:
    """Run this one job."""
    run_pending(ids=[job_id(result.id)])
