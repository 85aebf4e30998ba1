"""For the tests of apps that use pgq: a client whose lifespan runs, and a queue to be drained.

    async with app_client(app) as client:
        await client.post("/orders", json={…})
        await client.drain()  # every job runs, in this process; a failure raises its traceback

With Starlette's TestClient: `with no_worker(), TestClient(app) as client: …; drain(client)`. Both
as pytest fixtures: `client = client_fixture(app)` and `client = plain_client_fixture(app)`.
"""

from pgq_fastapi.testing.clients import AppClient, app_client, drain, no_worker
from pgq_fastapi.testing.fixtures import client_fixture, plain_client_fixture

__all__ = [
    "AppClient",
    "app_client",
    "client_fixture",
    "drain",
    "no_worker",
    "plain_client_fixture",
]
