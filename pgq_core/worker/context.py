"""What a handler gets besides its job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pgq_core.borrowed import ending
from pgq_core.errors import InvalidInput, LeaseLost
from pgq_core.models import NewJob
from pgq_core.outcomes import MAX_MESSAGE, Outcome, clean, encode_result
from pgq_core.queries import Queries
from pgq_core.worker.book import Book, Running
from pgq_core.worker.flusher import arrays

T = TypeVar("T")


class Noted:
    """Done already; may be awaited all the same, so that `await context.progress(…)` reads well."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class Context:
    """The handler's second argument: progress, cancellation, transaction, enqueue, resources."""

    def __init__(
        self,
        run: Running,
        book: Book,
        queries: Queries,
        worker_id: int,
        resources: Any,
        enqueue: Callable[..., Awaitable[Any]],
    ) -> None:
        self._run = run
        self._book = book
        self._queries = queries
        self._worker_id = worker_id
        self._enqueue = enqueue
        self._loop = running_loop()
        self.resources = resources

    @property
    def job(self) -> Any:
        """The job this attempt runs."""
        return self._run.job

    @property
    def cancelled(self) -> bool:
        """Whether this attempt has been asked to stop: a plain function should look and return.

        A handler that has seen True and returns was stopped: by its timeout, by a cancellation, or
        by a shutdown, and then the job runs again.
        """
        self._run.noticed = self._run.why is not None
        return self._run.noticed

    def progress(self, fraction: float | None = None, message: str | None = None) -> Noted:
        """Say how far the job is: a fraction from 0 to 1, a message, or both.

        Costs nothing here; the worker writes the newest at most once a second.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise InvalidInput(f"progress({fraction!r}): give a fraction from 0 to 1")
        text = None if message is None else clean(str(message), MAX_MESSAGE)
        self._run.progress = (fraction, text)
        return Noted()

    async def enqueue(self, entrypoint: str | NewJob, payload: Any = None, **options: Any) -> int:
        """Enqueue another job, with the options of `pgq.enqueue`; returns its id."""
        return int(await self._enqueue(entrypoint, payload, **options))

    async def results(self) -> dict[int, Any]:
        """The results of the jobs this one waited for: id → result, of those that succeeded."""
        found = await self._queries.call("predecessors", id=self._run.job.id)
        return await self._queries.get_results([row["id"] for row in found])

    def enqueue_sync(self, entrypoint: str | NewJob, payload: Any = None, **options: Any) -> int:
        """`enqueue` for a plain function. Raises InvalidInput in a coroutine."""
        return self._wait("enqueue", self.enqueue(entrypoint, payload, **options))

    def results_sync(self) -> dict[int, Any]:
        """`results` for a plain function. Raises InvalidInput in a coroutine."""
        return self._wait("results", self.results())

    def _wait(self, name: str, verb: Coroutine[Any, Any, T]) -> T:
        """Let the worker's loop do it while this thread waits."""
        if self._loop is None or running_loop() is not None:
            verb.close()
            raise InvalidInput(
                f"{name}_sync() is for plain functions; here it is `await context.{name}(…)`"
            )
        return asyncio.run_coroutine_threadsafe(verb, self._loop).result()

    @asynccontextmanager
    async def transaction(
        self, result: Any = None, *, connection: Any = None
    ) -> AsyncIterator[Any]:
        """A connection in a transaction whose commit also completes the job.

        The lease is checked and the outcome written as the last statements before COMMIT. Raises
        LeaseLost, and rolls back, when another worker owns the job by then. `connection=`: one of
        your own (a SQLAlchemy session, asyncpg, psycopg); the block commits it, or rolls it back.
        """
        if self._run.completed:
            raise InvalidInput(
                f"job {self._run.job.id} was completed by an earlier transaction() of its handler; "
                "do everything in one block"
            )
        own = self._queries.driver.transaction() if connection is None else ending(connection)
        async with own as used:
            yield used
            await self._complete(used, result)
        self._run.completed = True
        self._book.settle(self._run.lease)

    async def _complete(self, connection: Any, result: Any) -> None:
        run = self._run
        text, problem = encode_result(result, 64 * 1024)
        if problem is not None:
            raise InvalidInput("transaction(result=…): the result cannot be stored as JSON")
        now = time.monotonic()
        run.ended = now
        alone = run.lease.open == 1
        ids, tokens = [run.lease.id], [run.lease.token]
        shut, shut_tokens = (ids, tokens) if alone else ([], [])
        keep, keep_tokens = ([], []) if alone else (ids, tokens)
        refused = await self._queries.call(
            "finish", connection, worker=self._worker_id, shut=shut, shut_tokens=shut_tokens,
            open=keep, open_tokens=keep_tokens,
            **arrays([(run, Outcome(run.job, "succeeded", None, text))], now),
        )  # fmt: skip
        run.ended = 0.0
        if refused:
            raise LeaseLost(run.job.id, run.job.attempt)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if one is running."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
