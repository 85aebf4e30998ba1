"""Prometheus: true counters and histograms of this process, and what the database says.

With PROMETHEUS_MULTIPROC_DIR set, any of several server processes answers for all of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from pgq_core.db import DISCONNECTED
from pgq_core.errors import PgqError

if TYPE_CHECKING:
    from pgq_core import Job, NewJob
    from pgq_core.outcomes import Outcome
    from pgq_core.queries import Queries

PICKUP = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
RUN = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """A hook that counts; give it to `PgQueuer(hooks=[…])` where no lifespan does."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = CollectorRegistry() if registry is None else registry
        self.enqueued = Counter(
            "pgq_jobs_enqueued", "Jobs handed to enqueue, also if their transaction rolls back",
            ["entrypoint"], registry=registry,
        )  # fmt: skip
        self.started = Counter(
            "pgq_attempts_started", "Attempts started", ["entrypoint"], registry=registry
        )
        self.done = Counter(
            "pgq_attempts_finished", "Attempts ended, by outcome", ["entrypoint", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.pickup = Histogram(
            "pgq_pickup_seconds", "From due to the start of the first attempt", ["entrypoint"],
            buckets=PICKUP, registry=registry,
        )  # fmt: skip
        self.run = Histogram(
            "pgq_run_seconds", "How long attempts ran", ["entrypoint"], buckets=RUN,
            registry=registry,
        )  # fmt: skip
        self.restarts = Counter(
            "pgq_worker_restarts", "Workers that died in an app and were replaced",
            registry=registry,
        )  # fmt: skip

    def enqueueing(self, job: NewJob) -> NewJob:
        """Count it."""
        self.enqueued.labels(job.entrypoint).inc()
        return job

    @contextmanager
    def attempt(self, job: Job) -> Iterator[None]:
        """Count the start, and how long the job had been due."""
        self.started.labels(job.entrypoint).inc()
        if job.attempt == 1:
            due = max(job.created_at, job.run_at or job.created_at)
            waited = (datetime.now(timezone.utc) - due).total_seconds()
            self.pickup.labels(job.entrypoint).observe(max(0.0, waited))
        yield

    def finished(self, job: Job, outcome: Outcome, seconds: float) -> None:
        """Count the outcome and the time."""
        self.done.labels(job.entrypoint, outcome.kind).inc()
        self.run.labels(job.entrypoint).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Every series of ours; of all processes where they share a directory."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry.collect()
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return (family for family in shared.collect() if family.name.startswith("pgq_"))


@cache
def default_metrics() -> Metrics:
    """The process's own; every queue counts here unless told otherwise."""
    return Metrics()


class Snapshot:
    """What `generate_latest` asks: counters and figures of one scrape."""

    def __init__(self, metrics: Metrics, figures: Sequence[Metric]) -> None:
        self.metrics = metrics
        self.figures = figures

    def collect(self) -> Iterable[Metric]:
        """Everything."""
        yield from self.metrics.collect()
        yield from self.figures


async def read_figures(queries: Queries, timeout: float = 5.0) -> list[Metric]:
    """Gauges from the database; only `pgq_up 0` when it does not answer."""
    try:
        answers = await asyncio.wait_for(_ask(queries), timeout)
    except (*DISCONNECTED, asyncpg.PostgresError, PgqError):
        return [gauge("up", "Whether the database answers", 0)]
    return [gauge("up", "Whether the database answers", 1), *_gauges(*answers)]


async def _ask(queries: Queries) -> tuple[Any, list[Any], list[Any]]:
    figures = (await queries.call("figures"))[0]
    return figures, await queries.call("lane_depths"), await queries.workers()


def _gauges(figures: Any, lanes: list[Any], workers: list[Any]) -> Iterator[Metric]:
    names = ["queue", "entrypoint", "priority"]
    depth = GaugeMetricFamily("pgq_queue_depth", "Jobs that are ready to run", labels=names)
    age = GaugeMetricFamily(
        "pgq_queue_age_seconds", "How long the first ready job has waited", labels=names
    )
    for lane in lanes:
        labels = [lane["queue"], lane["entrypoint"], str(lane["priority"])]
        depth.add_metric(labels, lane["depth"])
        age.add_metric(labels, max(0.0, lane["age"] or 0.0))
    yield depth
    yield age
    yield gauge("deferred_jobs", "Jobs that wait for their time", figures["deferred"])
    yield gauge("blocked_jobs", "Jobs that wait for others", figures["blocked"])
    yield gauge("leased_jobs", "Jobs held by workers", figures["leased"])
    yield gauge("horizon_age_seconds", "Age of the oldest snapshot", figures["horizon_age"])
    yield from _workers(workers)


def _workers(workers: list[Any]) -> Iterator[Metric]:
    count = GaugeMetricFamily("pgq_workers", "Worker processes that beat", labels=["listener"])
    alive = [worker for worker in workers if worker["beat_age"] <= worker["lease_seconds"]]
    for listener in ("listening", "polling", "deaf", "off"):
        count.add_metric([listener], sum(worker["listener"] == listener for worker in alive))
    yield count
    yield gauge("workers_dead", "Workers that stopped beating", len(workers) - len(alive))
    stalled = sum(worker["stalled_seconds"] > 0 for worker in alive)
    yield gauge("workers_stalled", "Workers whose event loop is blocked", stalled)


def gauge(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(f"pgq_{name}", text, value=value)
