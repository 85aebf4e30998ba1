"""`PgQueuer`: what a program registers, enqueues and runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import asyncpg

from pgq_core.batches import Batch, chained
from pgq_core.db import UNREACHABLE, Driver, unreachable
from pgq_core.errors import DuplicateJob, NotBound, UnknownEntrypoint
from pgq_core.hooks import Hook
from pgq_core.models import (
    EnqueuedJob,
    Fellows,
    Job,
    JobRow,
    NewJob,
    Schedule,
    encode_payload,
    job_of,
    row_of,
)
from pgq_core.options import MAX_PAYLOAD, EntrypointOptions, Rate, WorkerOptions
from pgq_core.poolers import open_driver
from pgq_core.pressure import Pressure
from pgq_core.queries import Queries
from pgq_core.registry import Handler, Registry, is_async, refuse_generators, takes_two
from pgq_core.retries import Backoff, BackoffRule
from pgq_core.schedules import ScheduleRule
from pgq_core.tasks import EntrypointSettings, TaskDecorator
from pgq_core.worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Unpack

H = TypeVar("H", bound=Handler)
Errors = type[BaseException] | Sequence[type[BaseException]]
Resources = Callable[[], AbstractAsyncContextManager[Any]]


class PgQueuer:
    """A registry of handlers, bound to a database now or later.

    `max_depth`: per queue, how many jobs may wait before enqueue raises QueueFull.
    `resources`: an object handed to every handler as `context.resources`, or a function that gives
    an async context manager, entered while a worker runs. `hooks`: see `pgq_core.hooks`.
    """

    def __init__(
        self,
        driver: Driver | None = None,
        *,
        schema: str | None = None,
        resources: Any = None,
        hooks: Iterable[Hook] = (),
        max_payload: int = MAX_PAYLOAD,
        max_depth: Mapping[str, int] | None = None,
    ) -> None:
        self.registry = Registry()
        self.pressure = Pressure(max_depth or {})
        self.hooks = list(hooks)
        self.resources = resources
        self.schema = schema
        self.max_payload = max_payload
        self._queries: Queries | None = None
        self._worker: Worker | None = None
        self._stop_requested = False
        if driver is not None:
            self.bind(driver)

    # -- the database -----------------------------------------------------------------------

    def bind(self, driver: Driver) -> None:
        """Use this driver from now on."""
        self._queries = Queries(driver, self.schema, self.max_payload)

    def unbind(self) -> None:
        """Forget the driver: the database is closed."""
        self._queries = None

    @property
    def queries(self) -> Queries:
        """The database verbs. Raises NotBound without a driver."""
        if self._queries is None:
            raise NotBound
        return self._queries

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        dsn: str | None = None,
        *,
        schema: str | None = None,
        statement_cache_size: int | None = None,
        **options: Any,
    ) -> AsyncIterator[PgQueuer]:
        """A PgQueuer on a pool of its own: `async with PgQueuer.connect(dsn) as pgq`.

        `dsn` falls back to PGQ_DSN, DATABASE_URL, then libpq's variables; SQLAlchemy's URLs
        (`postgresql+asyncpg://`) are taken too. `statement_cache_size` is asyncpg's, 0 behind a
        pooler unless given. Raises DatabaseUnreachable.
        """
        pgq, settings = cls(schema=schema, **options), {}
        if statement_cache_size is not None:
            settings["statement_cache_size"] = statement_cache_size
        async with pgq.connected(dsn, **settings):
            yield pgq

    @asynccontextmanager
    async def connected(
        self, dsn: str | None = None, *, max_size: int = 5, **settings: Any
    ) -> AsyncIterator[PgQueuer]:
        """Bind this PgQueuer to a pool on `dsn` for the length of the block.

        `settings` are those of `asyncpg.connect`; behind a pooler `statement_cache_size` is 0
        unless given.
        """
        dsn = dsn or os.environ.get("PGQ_DSN") or os.environ.get("DATABASE_URL")
        try:
            driver = await open_driver(dsn, max_size, settings)
        except UNREACHABLE as error:
            raise unreachable(dsn, error) from error
        self.bind(driver)
        try:
            yield self
        finally:
            self.unbind()
            try:
                await asyncio.wait_for(driver.pool.close(), 5)
            except (asyncio.TimeoutError, OSError, asyncpg.InterfaceError):
                driver.pool.terminate()

    # -- registering ------------------------------------------------------------------------

    def entrypoint(
        self,
        name: str,
        *,
        aliases: Sequence[str] = (),
        queue: str = "default",
        priority: int = 5,
        max_attempts: int = 5,
        backoff: BackoffRule | None = None,
        retry_on: Errors = BaseException,
        no_retry_on: Errors = (),
        timeout: float | None = None,
        transactional: bool = False,
        concurrency_limit: int | None = None,
        rate_limit: str | Rate | None = None,
    ) -> Callable[[H], H]:
        """Register a handler: `async def` or `def`, taking `job` or `job, context`.

        Its return value is the job's result. Raising retries with `backoff` (a Backoff, seconds, or
        a function of the failures so far; at most a hundred years) until `max_attempts` are spent
        (1: at most once); errors in `no_retry_on` fail at once. `timeout` is in seconds.
        `aliases` are old names whose jobs are served too. Raises InvalidInput or AlreadyRegistered.
        """
        options = EntrypointOptions(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff=Backoff() if backoff is None else backoff,
            retry_on=as_tuple(retry_on),
            no_retry_on=as_tuple(no_retry_on),
            timeout=timeout,
            transactional=transactional,
            concurrency_limit=concurrency_limit,
            rate_limit=rate_limit,
        )

        def register(handler: H) -> H:
            for each in (name, *aliases):
                self.registry.add(each, handler, options)
            return handler

        return register

    def task(
        self,
        name: str | None = None,
        *,
        aliases: Sequence[str] = (),
        unique: str | None = None,
        unique_for: float | timedelta | None = None,
        unique_while: str | None = None,
        **settings: Unpack[EntrypointSettings],
    ) -> TaskDecorator:
        """Register a function whose signature says what its jobs carry (default name: its own).

        Arguments are checked by pydantic, at enqueue and again at run. A first parameter annotated
        `Context` or `Job` is handed in. `settings` are those of `entrypoint`. `unique="args"`: the
        arguments are the jobs' unique key, held as `unique_for` and `unique_while` say. The
        function becomes a `Task`: `await send_email.enqueue(to="…")`. Raises MissingExtra without
        pydantic.
        """
        given = {"unique_for": unique_for, "unique_while": unique_while}
        options = {name: value for name, value in given.items() if value is not None}
        return TaskDecorator(self, name, aliases, settings, unique, options)

    def schedule(
        self,
        name: str,
        cron: str,
        *,
        timezone: str = "UTC",
        catch_up: str = "last",
        queue: str = "default",
        priority: int = 5,
        jitter: float | timedelta = 0.0,
        payload: Any = None,
        **options: Any,
    ) -> Callable[[H], H]:
        """Register a handler for the ticks of a cron rule; it takes a `Schedule`, or one and a
        `Context`.

        A tick is one ordinary job, retried and logged as any other; `options` are those of
        `entrypoint`. `catch_up`: of the ticks missed while no worker ran, fire the last, all (the
        newest 1,000), or skip them. `jitter` seconds: each tick is late by a random part of them.
        Raises InvalidInput.
        """
        entrypoint = f"schedule:{name}"
        rule = ScheduleRule(
            name, cron, timezone, catch_up, entrypoint, queue, priority, jitter,
            encode_payload(payload, self.max_payload),
        )  # fmt: skip

        def register(handler: H) -> H:
            refuse_generators(name, handler)
            self.registry.add_schedule(rule)
            self.entrypoint(entrypoint, queue=queue, priority=priority, **options)(
                on_tick(rule, handler)
            )
            return handler

        return register

    # -- enqueueing -------------------------------------------------------------------------

    async def enqueue(
        self,
        entrypoint: str | NewJob,
        payload: Any = None,
        *,
        priority: int | None = None,
        queue: str | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | timedelta | None = None,
        unique_key: str | None = None,
        concurrency_key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        unique_for: float | timedelta | None = None,
        unique_while: str = "unfinished",
        on_duplicate: str = "keep",
        after: Sequence[int] = (),
        on_failure: str | None = None,
        connection: Any = None,
        check: bool = True,
        patience: float = 0.0,
    ) -> int:
        """Enqueue one job and return its id.

        `payload`: bytes, str or JSON-able. `delay` seconds or timedelta, or `run_at` an aware
        datetime. `connection=` joins the transaction open on it: asyncpg, psycopg, or a session or
        connection of SQLAlchemy. A duplicate `unique_key` returns the id of the job that holds it
        (`on_duplicate`: keep, replace one that has not started, or raise DuplicateJob); the key is
        held while the job is unfinished (`unique_while`: or only while it is waiting), or
        `unique_for` seconds. `after`: ids of jobs that must end first; `on_failure`: run, skip or
        cancel when one of them fails, or run only then. `patience`: see `enqueue_many`. Raises
        InvalidInput before any SQL; UnknownEntrypoint for a name not registered here, unless
        `check=False`.
        """
        job = job_of(
            entrypoint, payload, priority, queue, delay, run_at, unique_key, concurrency_key,
            None if headers is None else dict(headers), max_attempts, timeout, unique_for,
            unique_while, on_duplicate, after, on_failure,
        )  # fmt: skip
        made = await self.enqueue_many([job], connection=connection, check=check, patience=patience)
        return made[0].id

    async def enqueue_many(
        self,
        jobs: Iterable[NewJob],
        *,
        connection: Any = None,
        check: bool = True,
        patience: float = 0.0,
    ) -> list[EnqueuedJob]:
        """Enqueue jobs in one statement; per job its id and whether it is new, in input order.

        A full queue (`max_depth`) is waited for up to `patience` seconds, then QueueFull is raised.
        A job may wait for others of the same call: `after=[other]` with their NewJobs.
        """
        fellows = Fellows(jobs)
        rows = [self.prepare(job, check=check, fellows=fellows) for job in fellows]
        queries = self.queries if connection is None else self._queries_on(connection)
        if not self.pressure.max_depth:
            return await self._insert(fellows, rows, queries, connection)
        await self.pressure.admit(rows, partial(queries.depth, on=connection), patience)
        try:
            return await self._insert(fellows, rows, queries, connection)
        finally:
            self.pressure.landed(rows)

    async def _insert(
        self, jobs: Sequence[NewJob], rows: list[JobRow], queries: Queries, connection: Any
    ) -> list[EnqueuedJob]:
        if connection is None and any(job.on_duplicate == "raise" for job in jobs):
            async with queries.driver.transaction() as own:  # rolled back by DuplicateJob
                return unduplicated(jobs, await queries.insert(rows, own))
        return unduplicated(jobs, await queries.insert(rows, connection))

    def batch(
        self,
        *,
        on_done: NewJob | None = None,
        on_success: NewJob | None = None,
        on_failure: NewJob | None = None,
        connection: Any = None,
    ) -> Batch:
        """`async with pgq.batch(on_done=…) as batch: batch.add(…)`: jobs with callbacks.

        `on_done` runs when all have ended, `on_success` when all succeeded, `on_failure` once the
        first has failed. Everything is enqueued in one transaction, at the end of the block.
        """
        callbacks = [(on_done, "run"), (on_success, "cancel"), (on_failure, "only")]
        return Batch(self.enqueue_many, lambda: self._queries_on(connection), callbacks, connection)

    async def chain(self, *jobs: NewJob, connection: Any = None) -> list[int]:
        """Enqueue jobs that run one after the other; returns their ids in order.

        When one fails the rest is cancelled, unless a job's `on_failure` says otherwise; its
        results reach the next through `await context.results()`.
        """
        made = await self.enqueue_many(chained(jobs), connection=connection)
        return [job.id for job in made]

    def enqueue_sync(
        self,
        entrypoint: str | NewJob,
        payload: Any = None,
        *,
        connection: Any,
        priority: int | None = None,
        queue: str | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | timedelta | None = None,
        unique_key: str | None = None,
        concurrency_key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        unique_for: float | timedelta | None = None,
        unique_while: str = "unfinished",
        on_duplicate: str = "keep",
        after: Sequence[int] = (),
        on_failure: str | None = None,
        check: bool = True,
        patience: float = 0.0,
    ) -> int:
        """`enqueue` for plain functions, in a psycopg connection's or a Session's transaction."""
        job = job_of(
            entrypoint, payload, priority, queue, delay, run_at, unique_key, concurrency_key,
            None if headers is None else dict(headers), max_attempts, timeout, unique_for,
            unique_while, on_duplicate, after, on_failure,
        )  # fmt: skip
        made = self.enqueue_many_sync([job], connection=connection, check=check, patience=patience)
        return made[0].id

    def enqueue_many_sync(
        self,
        jobs: Iterable[NewJob],
        *,
        connection: Any,
        check: bool = True,
        patience: float = 0.0,
    ) -> list[EnqueuedJob]:
        """`enqueue_many` for plain functions: psycopg, or a Session or Connection of SQLAlchemy."""
        fellows, queries = Fellows(jobs), self._queries_on(connection)
        rows = [self.prepare(job, check=check, fellows=fellows) for job in fellows]
        if not self.pressure.max_depth:
            return unduplicated(fellows, queries.insert_sync(rows, connection))
        self.pressure.admit_sync(rows, partial(queries.depth_sync, on=connection), patience)
        try:
            return unduplicated(fellows, queries.insert_sync(rows, connection))
        finally:
            self.pressure.landed(rows)

    def _queries_on(self, connection: Any) -> Queries:
        return self._queries or Queries(connection, self.schema, self.max_payload)

    def prepare(self, job: NewJob, *, check: bool = True, fellows: Sequence[NewJob] = ()) -> JobRow:
        """Fill in what the entrypoint says, run the hooks, check and encode."""
        for hook in self.hooks:
            job = hook.enqueueing(job)
        entry = self.registry.entrypoints.get(job.entrypoint)
        if entry is not None:
            job = replace(
                job,
                queue=entry.options.queue if job.queue is None else job.queue,
                priority=entry.options.priority if job.priority is None else job.priority,
            )
        elif check and self.registry.entrypoints:
            raise UnknownEntrypoint(job.entrypoint, self.registry.entrypoints)
        return row_of(job, max_payload=self.max_payload, fellows=fellows)

    # -- running ----------------------------------------------------------------------------

    async def run(
        self,
        *,
        concurrency: int = 100,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        batch_size: int | None = None,
        shutdown_timeout: float = 30.0,
        until_empty: bool = False,
        **options: Any,
    ) -> None:
        """Run jobs until `stop()` is called, the task is cancelled, or `until_empty` holds.

        At most `concurrency` at a time; never more are claimed than can start. Further options:
        `lease`, `listen`, `threads`, `max_jobs`, see `WorkerOptions`. Raises SchemaMissing,
        SchemaOutdated or DatabaseUnreachable before anything runs.
        """
        worker = self.worker(
            WorkerOptions(
                concurrency=concurrency, queues=queues, batch_size=batch_size,
                shutdown_timeout=shutdown_timeout, until_empty=until_empty, **options,
            )
        )  # fmt: skip
        await self.run_worker(worker)

    def worker(self, options: WorkerOptions) -> Worker:
        """A worker for what is registered here."""
        return Worker(self.queries, self.registry, options, enqueue=self.enqueue, hooks=self.hooks)

    async def run_worker(self, worker: Worker) -> None:
        """Run a worker with the resources open."""
        async with AsyncExitStack() as stack:
            resources = self.resources
            if callable(resources):
                resources = await stack.enter_async_context(resources())
            worker.resources = resources
            self._worker = worker
            try:
                if not self._stop_requested:
                    await worker.run()
            finally:
                self._worker, self._stop_requested = None, False

    def stop(self, now: bool = False) -> None:
        """Stop claiming; running jobs may finish in time, with `now` they are given back."""
        if self._worker is None:
            self._stop_requested = True
        else:
            self._worker.stop(now)


def unduplicated(jobs: Sequence[NewJob], made: list[EnqueuedJob]) -> list[EnqueuedJob]:
    """What was made. Raises DuplicateJob where a job wanted that."""
    for job, one in zip(jobs, made, strict=True):
        if job.on_duplicate == "raise" and not one.fresh:
            raise DuplicateJob(job.entrypoint, job.unique_key or "", one.id)
    return made


def as_tuple(errors: Errors) -> tuple[type[BaseException], ...]:
    """One exception class or several."""
    return (errors,) if isinstance(errors, type) else tuple(errors)


def on_tick(rule: ScheduleRule, handler: Handler) -> Handler:
    """A handler that takes the tick's job and calls the user's with a Schedule."""
    zone, wants_context = ZoneInfo(rule.timezone), takes_two(rule.entrypoint, handler)

    def arguments(job: Job, context: Any) -> tuple[Any, ...]:
        tick = job.headers.get("pgq-tick")
        at = datetime.fromisoformat(tick) if tick else job.run_at or job.created_at
        schedule = Schedule(rule.name, rule.cron, rule.timezone, at.astimezone(zone), job)
        return (schedule, context) if wants_context else (schedule,)

    async def run_async(job: Job, context: Any) -> Any:
        return await handler(*arguments(job, context))

    def run_sync(job: Job, context: Any) -> Any:
        return handler(*arguments(job, context))

    return run_async if is_async(handler) else run_sync


EnqueueFunction = Callable[..., Awaitable[int]]
