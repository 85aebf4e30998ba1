"""The clients as pytest fixtures, made for your app in your conftest.py."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from pgq_fastapi.testing.clients import AppClient, app_client, environment, no_worker

if TYPE_CHECKING:
    import pytest
    from starlette.testclient import TestClient


def client_fixture(
    app: Any,
    *,
    database: str | None = None,
    worker: bool = False,
    fixture: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """An asynchronous fixture: `client = client_fixture(app)`; see `app_client`.

    `database` names a fixture that gives a DSN, `"pgq_database"` for a fresh one per test; the app
    then finds it in PGQ_DSN. `fixture` is the decorator of the plugin that runs your tests: else
    `pytest_asyncio.fixture` where it is loaded, and `pytest.fixture`, as for anyio, where not.
    """

    async def client(request: pytest.FixtureRequest) -> AsyncIterator[AppClient]:
        async with AsyncExitStack() as stack:
            with at(request, database):
                client = app_client(app, worker=worker, **options)
                opened = await stack.enter_async_context(client)
            yield opened

    return (fixture or asynchronous())(client)


def plain_client_fixture(
    app: Any, *, database: str | None = None, worker: bool = False, **options: Any
) -> Any:
    """The same with Starlette's TestClient, for plain functions: `drain(client)`."""
    import pytest  # noqa: PLC0415  (only tests have it)
    from starlette.testclient import TestClient  # noqa: PLC0415  (needs httpx)

    @pytest.fixture
    def client(request: pytest.FixtureRequest) -> Iterator[TestClient]:
        with ExitStack() as stack:
            with at(request, database), nullcontext() if worker else no_worker():
                opened = stack.enter_context(TestClient(app, **options))
            yield opened

    return client


def at(request: pytest.FixtureRequest, database: str | None) -> AbstractContextManager[None]:
    """Apps that start within the block use the database of that fixture."""
    if database is None:
        return nullcontext()
    return environment(PGQ_DSN=request.getfixturevalue(database))


def asynchronous() -> Callable[[Any], Any]:
    """What declares an asynchronous fixture here."""
    plugin = sys.modules.get("pytest_asyncio")
    if plugin is not None:
        return plugin.fixture  # type: ignore[no-any-return]
    import pytest  # noqa: PLC0415

    return pytest.fixture
