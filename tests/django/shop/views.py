"""A view that enqueues in its transaction."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, JsonResponse

import pgq_django
from tests.django.shop import tasks


def fail(_: HttpRequest) -> JsonResponse:
    """Enqueue, then raise: with ATOMIC_REQUESTS the job goes with the request."""
    tasks.add.enqueue(1)
    raise LookupError


def order(_: HttpRequest) -> JsonResponse:
    """Enqueue by each of the ways; the ids of the jobs."""
    with transaction.atomic():
        results = [tasks.trace_seen.enqueue(), tasks.trace_seen_async.enqueue()]
        late = pgq_django.enqueue_on_commit(tasks.trace_seen)
        ids = [int(result.id.removeprefix("pgq-")) for result in results]
        ids.append(pgq_django.enqueue("another.service", {"a": 1}))
    return JsonResponse({"ids": [*ids, late.id]})
