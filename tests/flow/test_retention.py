"""What workers delete by themselves: finished jobs by outcome and age, batches with their jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from pgq_core import NewJob, PgQueuer
from pgq_core.cli import commands, run
from pgq_core.errors import InvalidInput
from pgq_core.maintenance import Upkeep
from pgq_core.options import WorkerOptions
from pgq_core.queries import Queries
from pgq_core.queries.retention import Pruned
from tests.sql import verbs

DAY = timedelta(days=1)


async def ended(on: Any, outcome: str, days: int, count: int = 1) -> list[int]:
    """Jobs that were enqueued, and ended that way, so many days ago."""
    ids = await verbs.enqueue(on, count=count)
    assert await verbs.finish(on, (await verbs.claim(on, count)).jobs, outcome) == {}
    await aged(on, ids, days)
    return ids


async def aged(on: Any, ids: Sequence[int], days: int) -> None:
    """Let these jobs lie so many days back."""
    for change in (
        "UPDATE pgq_jobs SET created_at = created_at - $2::interval WHERE id = ANY($1)",
        "UPDATE pgq_attempts SET finished_at = finished_at - $2::interval WHERE job_id = ANY($1)",
    ):
        await on.execute(change, ids, days * DAY)


class Counted(Queries):
    """Counts the steps of pruning."""

    steps = 0

    async def prune_some(self, *arguments: Any) -> Pruned:
        self.steps += 1
        return await super().prune_some(*arguments)


# -- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, {"succeeded": 6, "failed": 29, "cancelled": 6}),
        ({"keep_succeeded": 3600, "keep_failed": None}, {"failed": 400, "cancelled": 6}),
        ({"keep_succeeded": None, "keep_failed": 5 * DAY, "keep_cancelled": timedelta(0)},
         {"succeeded": 400}),
        ({"prune": False}, {"succeeded": 400, "failed": 400, "cancelled": 400}),
    ],
)  # fmt: skip
async def test_a_worker_prunes_by_outcome(
    conn: Any, queries: Queries, options: dict[str, Any], left: dict[str, int]
) -> None:
    """A worker keeps each outcome as long as its options say: seconds, a timedelta, None for ever."""
    made = {
        (outcome, days): (await ended(conn, outcome, days))[0]
        for outcome in ("succeeded", "failed", "cancelled")
        for days in (6, 29, 400)
    }
    await Upkeep(queries, WorkerOptions(**options)).once()
    kept = {job for (outcome, days), job in made.items() if days <= left.get(outcome, 0)}
    assert set(await verbs.states(conn)) == kept


async def test_old_jobs_behind_others_that_stay(conn: Any, queries: Queries) -> None:
    """However many jobs stay, failed ones for a month or ones that are not due yet, those behind
    them go when their time has come."""
    await ended(conn, "failed", 10, count=1200)
    waiting = await verbs.enqueue(conn, count=700, run_at=400 * DAY)
    await aged(conn, waiting, 10)
    old = await ended(conn, "succeeded", 8, count=5)
    await Upkeep(queries, WorkerOptions()).once()
    assert not set(old) & set(await verbs.states(conn))
    assert await verbs.count(conn, "pgq_jobs") == 1900


async def test_young_jobs_are_not_looked_through(conn: Any, queries: Queries) -> None:
    """A round ends where the jobs are too young to go: a busy queue of a million costs it nothing."""
    old = await ended(conn, "succeeded", 8, count=3)
    await verbs.insert(conn, count=5000)
    counted = Counted(queries.driver)
    await Upkeep(counted, WorkerOptions()).once()
    assert counted.steps == 2
    assert not set(old) & set(await verbs.states(conn, old))


async def test_forever(conn: Any, queries: Queries) -> None:
    """`prune` keeps for ever what is given as None, and takes seconds as well."""
    (kept,) = await ended(conn, "failed", 4000)
    await ended(conn, "succeeded", 1)
    assert await queries.prune(succeeded=3600, failed=None) == 1
    assert set(await verbs.states(conn)) == {kept}


@pytest.mark.parametrize("age", [-1, "week", float("nan"), timedelta(days=40_000), -DAY])
async def test_wrong_ages(queries: Queries, age: Any) -> None:
    """An age that cannot be is refused by name before anything is deleted."""
    for name in ("succeeded", "failed", "cancelled"):
        with pytest.raises(InvalidInput, match=f"keep_{name}="):
            WorkerOptions(**{f"keep_{name}": age})
        with pytest.raises(InvalidInput, match=f"prune: {name}="):
            await queries.prune(**{name: age})


# -- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["a worker", "prune"])
async def test_batches_go_with_the_last_of_their_jobs(
    pgq: PgQueuer, conn: Any, queries: Queries, by: str
) -> None:
    """A batch is deleted once all of its jobs are, however many older batches stay."""
    for _ in range(120):
        async with pgq.batch() as batch:
            batch.add(NewJob("later", delay=3600))
    async with pgq.batch(on_done=NewJob("later", delay=3600)) as over:
        over.add("work")
        over.add("work")
    async with pgq.batch() as half:
        half.add("work")
        half.add(NewJob("later", delay=3600))
    await verbs.finish(conn, (await verbs.claim(conn)).jobs, "succeeded")
    await aged(conn, [*over.job_ids, *half.job_ids], 30)
    await (Upkeep(queries, WorkerOptions()).once() if by == "a worker" else queries.prune())
    if by == "a worker":  # batches are looked at before jobs
        await Upkeep(queries, WorkerOptions(prune=False)).once()
    assert await verbs.count(conn, "pgq_batches") == 121
    assert (await half.progress()).pruned == 1
    with pytest.raises(InvalidInput, match=rf"no batch {over.id}.*last of its jobs"):
        await over.progress()


async def test_batches_are_looked_at_in_steps(pgq: PgQueuer, queries: Queries) -> None:
    """Batches are looked through so many at a time, each step from where the one before ended."""
    for _ in range(5):
        async with pgq.batch() as batch:
            batch.add(NewJob("later", delay=3600))
    ends: list[int | None] = [0]
    while ends[-1] is not None:
        ends.append(await queries.prune_batches(ends[-1], limit=2))
    assert ends == [0, 2, 4, 5, None]


# -- the command line -----------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkerOptions]:
    """The options a worker would run with that is started by these words."""
    found: list[WorkerOptions] = []

    def serve(_target: str, _where: Any, options: WorkerOptions, _tether: Any) -> int:
        found.append(options)
        return 0

    monkeypatch.setattr(import_module("pgq_core.cli.worker"), "serve", serve)

    def ask(*words: str) -> WorkerOptions:
        assert run(commands, ["worker", "jobs:pgq", *words]) == 0
        return found.pop()

    return ask


def test_a_workers_retention_is_an_option(
    served: Callable[..., WorkerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`worker --keep-succeeded 12h --keep-failed forever`, or by the environment."""
    plain = WorkerOptions()
    assert served() == plain
    options = served("--keep-succeeded", "12h", "--keep-failed", "forever")
    assert (options.keep_succeeded, options.keep_cancelled) == (DAY / 2, plain.keep_cancelled)
    assert options.keep_failed == 36500 * DAY
    monkeypatch.setenv("PGQ_WORKER_KEEP_CANCELLED", "90d")
    assert served().keep_cancelled == 90 * DAY


def test_a_worker_may_leave_work_to_others(served: Callable[..., WorkerOptions]) -> None:
    """`worker --no-prune --no-schedules` deletes nothing and fires nothing; a floor share is an
    option, too."""
    options = served("--no-prune", "--no-schedules", "--floor-share", "0.1")
    assert (options.prune, options.schedules, options.floor_share) == (False, False, 0.1)


@pytest.mark.parametrize(
    "words",
    [("--keep-failed", "long"), ("--keep-succeeded", "-1"), ("--floor-share", "0.9"),
     ("--keep-cancelled", "200000d")],
)  # fmt: skip
def test_wrong_words(words: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be is said in one line."""
    assert run(commands, ["worker", "jobs:pgq", *words]) == 2
    assert capfd.readouterr().err.count("\n") == 1
