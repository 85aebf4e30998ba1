"""`pgq_lifespan`: the queue opens with the app, a worker runs beside it, both close in order."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pgq_core import PgQueuer
from pgq_core.errors import InvalidInput, NotBound
from pgq_core.options import WorkerOptions
from pgq_fastapi.environment import reloading, wants_worker
from pgq_fastapi.observe import observed
from pgq_fastapi.runtime import KEY, Runtime
from pgq_fastapi.signals import SignalChain
from pgq_fastapi.supervisor import Supervisor

if TYPE_CHECKING:
    from pgq_fastapi.metrics import Metrics

log = logging.getLogger("pgq_fastapi")

Lifespan = Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]
Inner = Callable[[Any], AbstractAsyncContextManager[Any]]

RELOAD_TIMEOUT = 2.0
TWO = "two pgq lifespans for one app: PgqDep could mean either queue"


def pgq_lifespan(
    pgq: PgQueuer,
    dsn: str | None = None,
    *,
    inner: Inner | None = None,
    worker: bool = True,
    install: bool = False,
    concurrency: int = 10,
    queues: Sequence[str] | Mapping[str, int] | None = None,
    shutdown_timeout: float = 30.0,
    pool_size: int = 10,
    signals: bool = True,
    metrics: Metrics | bool | None = None,
    tracing: bool | None = None,
    **options: Any,
) -> Lifespan:
    """A lifespan for an app or a router: `FastAPI(lifespan=pgq_lifespan(pgq, dsn))`.

    It opens a pool on `dsn` (else PGQ_DSN, DATABASE_URL, libpq's variables; a PgQueuer that has a
    driver keeps it), checks the schema or, with `install`, installs it, enters your own lifespan
    `inner`, and runs a worker in this process; it closes in the opposite order. `worker=False` or
    PGQ_WORKER=0 only enqueues. At SIGTERM the worker stops claiming at once; running jobs have
    `shutdown_timeout` seconds (2 at most under a reloader), at a second Ctrl-C none. A worker that
    dies is restarted. Counts for Prometheus (`metrics`) and traces (`tracing`) where these are
    installed. Further `options` are those of `WorkerOptions`. Raises InvalidInput.
    """
    work = WorkerOptions(
        concurrency=concurrency, queues=queues, shutdown_timeout=shutdown_timeout, **options
    )
    database = partial(opened, pgq, dsn, pool_size, install)
    observe = partial(observed, pgq, metrics, tracing)
    return Opening(pgq, database, observe, inner, work if worker else None, signals).lifespan


@dataclass(frozen=True)
class Opening:
    """What an app opens, in this order; it closes in the opposite one."""

    pgq: PgQueuer
    database: Callable[[], AbstractAsyncContextManager[None]]
    observe: Callable[[], Metrics | None]
    inner: Inner | None
    work: WorkerOptions | None
    signals: bool

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """One life of the app."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.database())
            runtime = Runtime(self.pgq, metrics=self.observe())
            stack.enter_context(on_app(app, runtime))
            # Heard until the worker has ended: a second Ctrl-C comes while we wait for it.
            stack.enter_context(chain(runtime) if self.signals else nullcontext())
            inner = nullcontext() if self.inner is None else self.inner(app)
            state = await stack.enter_async_context(inner) or {}
            if KEY in state:
                raise InvalidInput(TWO)
            if self.work is not None and wants_worker():
                runtime.supervisor = Supervisor(self.pgq, within_reload(self.work), runtime.metrics)
                stack.push_async_callback(runtime.supervisor.close)
                runtime.supervisor.start()
            stack.callback(runtime.stop)
            yield {**state, KEY: runtime}


@asynccontextmanager
async def opened(
    pgq: PgQueuer, dsn: str | None, pool_size: int, install: bool
) -> AsyncIterator[None]:
    """The database for the length of the block, with tables of our version in it."""
    async with AsyncExitStack() as stack:
        try:
            queries = pgq.queries
        except NotBound:
            await stack.enter_async_context(pgq.connected(dsn, max_size=pool_size))
            queries = pgq.queries
        if install:
            await queries.initialize()
        await queries.check()
        yield


@contextmanager
def on_app(app: Any, runtime: Runtime) -> Iterator[None]:
    """Leave the runtime on the app too: some ways to call an app pass no lifespan state. Raises
    InvalidInput."""
    state = getattr(app, "state", None)
    if (found := getattr(state, KEY, None)) is not None and found.pgq is not runtime.pgq:
        raise InvalidInput(TWO)
    if state is not None:
        setattr(state, KEY, runtime)
    try:
        yield
    finally:
        if state is not None and getattr(state, KEY, None) is runtime:
            delattr(state, KEY)


def within_reload(options: WorkerOptions) -> WorkerOptions:
    """Under a reloader, which waits for our drain at every change, a short one."""
    if not reloading():
        return options
    return replace(options, shutdown_timeout=min(options.shutdown_timeout, RELOAD_TIMEOUT))


def chain(runtime: Runtime) -> SignalChain:
    """Stop the worker the moment the server is told to stop; at a second Ctrl-C, at once."""

    def hear(number: int) -> None:
        log.info("%s: claiming no more jobs", signal.Signals(number).name)
        runtime.stop()

    return SignalChain(hear, runtime.give_back)
