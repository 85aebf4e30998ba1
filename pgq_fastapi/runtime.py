"""What lifespan, dependencies and routes of one app share: one object, found from a request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgq_fastapi.errors import LifespanMissing

if TYPE_CHECKING:
    from pgq_core import PgQueuer
    from pgq_fastapi.metrics import Metrics
    from pgq_fastapi.supervisor import Supervisor

KEY = "pgq_runtime"
HURRY = 5.0  # seconds


@dataclass(eq=False)
class Runtime:
    """A queue that is open, the worker beside it if there is one, and whether we are leaving."""

    pgq: PgQueuer
    supervisor: Supervisor | None = None
    metrics: Metrics | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, now: bool = False) -> None:
        """The server is leaving: claim nothing more, end streams, call ourselves not ready."""
        self.stopping.set()
        if self.supervisor is not None:
            self.supervisor.stop(now)

    async def give_back(self) -> None:
        """Give running jobs back at once, and wait a moment until that is written."""
        self.stop(now=True)
        if self.supervisor is not None:
            await self.supervisor.ended(HURRY)

    def worker_facts(self) -> dict[str, Any]:
        """What the worker in this process says of itself; 'off' when there is none."""
        supervisor = self.supervisor
        if supervisor is None:
            return {"worker": "off"}
        facts: dict[str, Any] = {"worker": supervisor.state, "restarts": supervisor.restarts}
        if supervisor.error is not None:
            facts["last_error"] = type(supervisor.error).__name__  # its message is in the log
        if supervisor.worker is not None and supervisor.state == "running":
            pulse = supervisor.worker.crew.sentinel.pulse
            facts["listener"] = pulse.listener
            facts["beat_age"] = round(time.monotonic() - pulse.beaten, 3)
            facts["running_jobs"] = len(supervisor.worker.book.running)
        return facts


def find_runtime(connection: Any) -> Runtime | None:
    """The runtime behind a request or a websocket, if a lifespan runs."""
    state = connection.scope.get("state") or {}
    app = connection.scope.get("app")
    found: Runtime | None = state.get(KEY) or getattr(getattr(app, "state", None), KEY, None)
    return found


def runtime_of(connection: Any) -> Runtime:
    """The runtime behind a request or a websocket. Raises LifespanMissing."""
    runtime = find_runtime(connection)
    if runtime is None:
        raise LifespanMissing
    return runtime


def pgq_of(connection: Any) -> PgQueuer:
    """The PgQueuer behind a Starlette request or websocket. Raises LifespanMissing."""
    return runtime_of(connection).pgq
