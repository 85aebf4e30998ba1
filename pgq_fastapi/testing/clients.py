"""Clients of an app in this process: its lifespan runs, its jobs run when a test says so."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from datetime import datetime
from typing import Any

import httpx

from pgq_core import PgQueuer
from pgq_core.testing import Ran, run_pending
from pgq_fastapi.errors import LifespanMissing
from pgq_fastapi.runtime import KEY, Runtime


class AppClient(httpx.AsyncClient):
    """An httpx client of an app in this process."""

    runtime: Runtime

    @property
    def pgq(self) -> PgQueuer:
        """The app's queue, open."""
        return self.runtime.pgq

    async def drain(self, *, now: datetime | None = None, check: bool = True) -> list[Ran]:
        """Run everything that is due, and what that enqueues; see `pgq_core.testing.run_pending`.

        With `now` deferred jobs, retries and schedules due by then run too. Raises AssertionError
        with the traceback of the first job that went wrong, unless `check=False`.
        """
        return await run_pending(self.pgq, now=now, check=check)


@asynccontextmanager
async def app_client(
    app: Any, *, worker: bool = False, base_url: str = "http://testserver", **options: Any
) -> AsyncIterator[AppClient]:
    """Run the app's lifespan and talk to the app; `options` are those of httpx.AsyncClient.

    Its worker stays off, so that jobs run when the test says so, unless `worker=True`.
    """
    with nullcontext() if worker else no_worker():
        context = app.router.lifespan_context(app)
        state = await context.__aenter__()
    try:
        runtime = (state or {}).get(KEY)
        if runtime is None:
            raise LifespanMissing
        transport = httpx.ASGITransport(app=with_state(app, state))
        async with AppClient(transport=transport, base_url=base_url, **options) as client:
            client.runtime = runtime
            yield client
    except BaseException as error:
        if not await context.__aexit__(type(error), error, error.__traceback__):
            raise
    else:
        await context.__aexit__(None, None, None)


def with_state(app: Any, state: Any) -> Any:
    """The app as a server calls it: with the lifespan's state, copied for each request."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return call


def no_worker() -> AbstractContextManager[None]:
    """Apps that start within the block run no worker."""
    return environment(PGQ_WORKER="0")


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """These variables are set within the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def drain(client: Any, *, now: datetime | None = None, check: bool = True) -> list[Ran]:
    """Run everything that is due in the app behind a TestClient that was entered."""
    runtime = client.app_state.get(KEY)
    if runtime is None or client.portal is None:
        raise LifespanMissing

    async def run() -> list[Ran]:
        return await run_pending(runtime.pgq, now=now, check=check)

    ran: list[Ran] = client.portal.call(run)
    return ran
