"""What the jobs do. Most are kind to their worker."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable

from pgq_core import Context, Job, PgQueuer
from tests.chaos.harmful import register_harmful
from tests.chaos.oracle import Log
from tests.chaos.teller import Teller

EFFECT = "INSERT INTO chaos_effects (job_id, attempt) VALUES ($1, $2)"


def register(pgq: PgQueuer, log: Log, lease: float, worker: Callable[[], int]) -> None:
    """Every entrypoint; `worker` says the number of the worker that runs here."""
    tell = Teller(log, os.getpid(), worker)
    register_kind(pgq, tell)
    register_careful(pgq, tell)
    register_transactional(pgq, tell)
    register_harmful(pgq, tell, lease)


def register_kind(pgq: PgQueuer, tell: Teller) -> None:
    """Ordinary jobs."""

    @pgq.entrypoint("quick")
    async def quick(job: Job) -> None:
        with tell.told(job):
            pass

    @pgq.entrypoint("slow")
    async def slow(job: Job) -> None:
        with tell.told(job):
            await asyncio.sleep(random.uniform(0, 1))

    @pgq.entrypoint("plain")
    def plain(job: Job) -> None:
        with tell.told(job):
            time.sleep(random.uniform(0, 0.02))

    @pgq.entrypoint("flaky", max_attempts=50, backoff=0.05)
    async def flaky(job: Job) -> None:
        with tell.told(job):
            if random.random() < 0.3:
                raise RuntimeError("now and then")


def register_careful(pgq: PgQueuer, tell: Teller) -> None:
    """Jobs that rely on more: one start at most, one at a time."""

    @pgq.entrypoint("once", max_attempts=1)
    async def once(job: Job) -> None:
        with tell.told(job):
            await asyncio.sleep(random.uniform(0, 0.05))

    @pgq.entrypoint("keyed")
    async def keyed(job: Job) -> None:
        with tell.told(job):
            await asyncio.sleep(random.uniform(0, 0.05))


def register_transactional(pgq: PgQueuer, tell: Teller) -> None:
    """Jobs whose effect and completion are one transaction. They have come to their end before it
    is committed: whoever is killed right after that says no more."""

    async def take_effect(job: Job, context: Context, seconds: float) -> None:
        with tell.told(job):
            async with context.transaction() as connection:
                await connection.execute(EFFECT, job.id, job.attempt)
                await asyncio.sleep(seconds)
                tell.note("stop", job)

    @pgq.entrypoint("inner", transactional=True, max_attempts=50, backoff=0.05)
    async def inner(job: Job, context: Context) -> None:
        await take_effect(job, context, 0)

    @pgq.entrypoint("hog", transactional=True, max_attempts=50, backoff=0.05)
    async def hog(job: Job, context: Context) -> None:
        await take_effect(job, context, 0.7)
