"""What the state machines stand on: connections on a loop of their own, kept over all examples."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

T = TypeVar("T")

TABLES = (
    "jobs", "ready", "deferred", "blocked", "leases", "attempts", "locks", "holders", "edges",
    "cancels", "limits", "rates",
)  # fmt: skip


class Bench:
    """A loop, and connections on it."""

    def __init__(self, dsn: str, connections: int = 2) -> None:
        self.loop = asyncio.new_event_loop()
        self.on: list[Any] = [self.run(asyncpg.connect(dsn)) for _ in range(connections)]
        self.main = self.on[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def reset(self) -> None:
        """Nothing is left of the example before; lanes stay."""
        self.run(self.main.execute("TRUNCATE " + ", ".join(f"pgq_{table}" for table in TABLES)))

    def close(self) -> None:
        """Close everything."""
        for on in self.on:
            self.run(on.close())
        self.loop.close()


def explore(machine: Callable[[], RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run a machine; PGQ_TEST_EXAMPLES looks longer."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=int(os.environ.get("PGQ_TEST_EXAMPLES", examples)),
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
