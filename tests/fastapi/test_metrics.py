"""Metrics: true counters, figures from the database, and the same truth from many processes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from pgq_core import Job, PgQueuer, Retry
from pgq_core.queries import Queries
from pgq_fastapi import Metrics, pgq_lifespan, pgq_router
from tests.fastapi.conftest import Serve
from tests.fastapi.inside import runtime, talking_to
from tests.support import eventually

FULL = "tests.fastapi.apps.full:app"
Key = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Key, float]:
    """Every sample of an exposition, by name and labels; the text must parse."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


async def test_counters_histograms_and_gauges(database: str) -> None:
    """Enqueued, started, finished by outcome, pickup, run time, depth, age, workers, horizon."""
    pgq = PgQueuer()

    @pgq.entrypoint("mail", queue="letters")
    async def mail(job: Job) -> None: ...

    @pgq.entrypoint("flaky", max_attempts=2)
    async def flaky(job: Job) -> None:
        raise Retry(0)

    app = FastAPI(
        lifespan=pgq_lifespan(pgq, database, worker=False, metrics=Metrics(CollectorRegistry()))
    )
    app.include_router(pgq_router())
    async with talking_to(app) as client:
        await pgq.enqueue("mail")
        await pgq.enqueue("mail")
        await pgq.enqueue("flaky")
        await pgq.enqueue("mail", delay=3600)
        answer = await client.get("/pgq/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        before = samples(answer.text)
        lane = {"queue": "letters", "entrypoint": "mail", "priority": "5"}
        assert before[key("pgq_queue_depth", **lane)] == 2
        assert before[key("pgq_queue_age_seconds", **lane)] >= 0
        assert before[key("pgq_deferred_jobs")] == 1
        assert before[key("pgq_jobs_enqueued_total", entrypoint="mail")] == 3
        assert before[key("pgq_up")] == 1
        assert before[key("pgq_workers", listener="listening")] == 0
        assert before[key("pgq_horizon_age_seconds")] >= 0
        await pgq.run(until_empty=True)
        after = samples((await client.get("/pgq/metrics")).text)
    assert after[key("pgq_queue_depth", **lane)] == 0
    assert after[key("pgq_attempts_started_total", entrypoint="mail")] == 2
    assert after[key("pgq_attempts_started_total", entrypoint="flaky")] == 2
    done = "pgq_attempts_finished_total"
    assert after[key(done, entrypoint="mail", outcome="succeeded")] == 2
    assert after[key(done, entrypoint="flaky", outcome="retry")] == 1
    assert after[key(done, entrypoint="flaky", outcome="failed")] == 1
    assert after[key("pgq_pickup_seconds_count", entrypoint="flaky")] == 1
    assert after[key("pgq_run_seconds_count", entrypoint="flaky")] == 2
    assert after[key("pgq_run_seconds_bucket", entrypoint="mail", le="+Inf")] == 2


async def test_every_start_has_an_end(database: str, conn: Any) -> None:
    """Started less finished is what runs, also when an attempt has lost its lease."""
    pgq, metrics, running = PgQueuer(), Metrics(CollectorRegistry()), asyncio.Event()
    value = metrics.registry.get_sample_value

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        if job.attempt == 1:
            running.set()
            await asyncio.Event().wait()

    async with pgq_lifespan(pgq, database, metrics=metrics, lease=1.0)(FastAPI()):
        id_ = await pgq.enqueue("work")
        await running.wait()
        await conn.execute("DELETE FROM pgq_workers")
        await conn.execute("SELECT pgq_rescue(ARRAY(SELECT worker_id FROM pgq_leases))")
        await pgq.queries.wait(id_, 20)

        async def ends() -> bool:
            labels = ({"entrypoint": "work", "outcome": end} for end in ("lost", "succeeded"))
            return [value("pgq_attempts_finished_total", end) for end in labels] == [1, 1]

        await eventually(ends, what="both attempts have ended")
    assert value("pgq_attempts_started_total", {"entrypoint": "work"}) == 2


async def test_openmetrics_when_asked_for(database: str) -> None:
    """A scraper that asks for OpenMetrics gets OpenMetrics."""
    app = FastAPI(lifespan=pgq_lifespan(PgQueuer(), database, worker=False))
    app.include_router(pgq_router())
    async with talking_to(app) as client:
        answer = await client.get(
            "/pgq/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_started_twice_counts_once(database: str) -> None:
    """However often an app is started with a queue, a job is counted once."""
    pgq, metrics = PgQueuer(), Metrics(CollectorRegistry())
    lifespan = pgq_lifespan(pgq, database, worker=False, metrics=metrics)
    for _ in range(3):
        app = FastAPI(lifespan=lifespan)
        async with talking_to(app):
            await pgq.enqueue("mail", check=False)
            assert runtime(app).metrics is metrics
    assert metrics.registry.get_sample_value("pgq_jobs_enqueued_total", {"entrypoint": "mail"}) == 3


async def test_metrics_off(database: str) -> None:
    """`metrics=False` and `tracing=False` leave the queue without hooks."""
    pgq = PgQueuer()
    async with pgq_lifespan(pgq, database, worker=False, metrics=False, tracing=False)(FastAPI()):
        assert pgq.hooks == []


async def test_many_processes_count_once(
    serve: Serve, conn: Any, queries: Queries, tmp_path: Path
) -> None:
    """With PROMETHEUS_MULTIPROC_DIR any process answers for all: each job is counted once."""
    directory = tmp_path / "metrics"
    directory.mkdir()
    server = await serve(
        FULL, "--workers", "2", environment={"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    ).up("/up")

    async def both() -> bool:
        return bool(await conn.fetchval("SELECT count(*) FROM pgq_workers") == 2)

    await eventually(both)
    for _ in range(10):
        async with server.client() as client:  # a connection each, so that both processes get some
            await client.post("/enqueue", params={"entrypoint": "echo"})
    async with server.client(headers={"token": "ann"}) as client:
        await eventually(lambda: settled(conn, 10))
        found = samples((await client.get("/pgq/metrics")).text)
    assert found[key("pgq_jobs_enqueued_total", entrypoint="echo")] == 10
    assert found[key("pgq_attempts_started_total", entrypoint="echo")] == 10
    assert found[key("pgq_attempts_finished_total", entrypoint="echo", outcome="succeeded")] == 10
    assert found[key("pgq_pickup_seconds_count", entrypoint="echo")] == 10
    assert found[key("pgq_workers", listener="listening")] == 2
    assert found[key("pgq_queue_depth", queue="default", entrypoint="echo", priority="5")] == 0


async def settled(conn: Any, count: int) -> bool:
    return bool(await conn.fetchval("SELECT count(*) FROM pgq_attempts") == count)


@pytest.mark.usefixtures("database")
def test_names_follow_the_conventions() -> None:
    """Every series is named pgq_…, counters end in _total, times are seconds."""
    for family in Metrics(CollectorRegistry()).collect():
        assert re.fullmatch(r"pgq_[a-z_]+", family.name)
        assert family.documentation
