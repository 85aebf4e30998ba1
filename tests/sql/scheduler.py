"""Runs the steps of a few transactions in every order there is.

A step leads from one gate (tests/sql/gates.py), or from one pause of the script, to the next. After
each step everybody stands at a gate, pauses, waits for another actor's lock, or is done, as the
server says; then the next step is chosen. Orders are tried depth first: the choices made are noted,
and the last one that has an alternative is taken differently in the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

GATES = 60  # more than any actor passes
WHO_WAITS = "SELECT u.pid, pg_blocking_pids(u.pid) FROM unnest($1::integer []) AS u (pid)"
SHUT = """
SELECT pg_advisory_unlock_all();
SELECT count(pg_advisory_lock(a, n))
FROM generate_series(1, {actors}) AS a, generate_series(1, {gates}) AS n;
"""


class Broken(AssertionError):
    """An invariant does not hold after this order of steps."""


@dataclass
class Actor:
    """One connection and the script that runs on it."""

    number: int
    on: Any
    answer: Any = None
    passed: int = 0
    waited: bool = False
    at_gate: bool = False
    task: asyncio.Task[None] | None = None
    paused: asyncio.Future[None] | None = None

    async def pause(self) -> None:
        """Between two statements of the script: wait until it is our turn."""
        self.paused = asyncio.get_running_loop().create_future()
        await self.paused

    async def ungated(self) -> None:
        """Take each statement as one step, whatever function it calls."""
        await self.on.execute("SET pgq.actor = ''")

    async def transact(self, verb: Awaitable[Any], end: str) -> None:
        """BEGIN, one verb, and its end."""
        await self.on.execute("BEGIN")
        self.answer = await verb
        await self.pause()
        await self.on.execute(end)

    @property
    def pid(self) -> int:
        """Its process in the server."""
        return int(self.on.get_server_pid())

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of a statement."""
        assert self.task is not None
        return not self.task.done() and self.paused is None

    @property
    def ready(self) -> bool:
        """Whether it can take a step."""
        return self.paused is not None or (self.busy and self.at_gate)


Script = Callable[[Actor], Awaitable[None]]


@dataclass
class Scheduler:
    """Takes steps; `controller` holds the gates."""

    controller: Any
    actors: list[Actor]
    order: list[int] = field(default_factory=list)

    @classmethod
    async def on(cls, controller: Any, connections: Sequence[Any]) -> Scheduler:
        """One actor per connection."""
        for on in connections:
            await on.execute("CREATE TEMP SEQUENCE pgq_turn")
        await controller.execute("SET deadlock_timeout = '100ms'")
        actors = [Actor(number, on) for number, on in enumerate(connections, 1)]
        return cls(controller, actors)

    async def play(
        self, scripts: Sequence[Script], choices: Sequence[int]
    ) -> list[tuple[int, int]]:
        """One run: these choices first, then always the first actor that can go. Returns the
        choices made, each with how many there were."""
        await self._begin(scripts)
        made: list[tuple[int, int]] = []
        while await self._quiet():
            able = [actor for actor in self.actors if actor.ready]
            choice = choices[len(made)] if len(made) < len(choices) else 0
            made.append((choice, len(able)))
            self.order.append(able[choice].number)
            await self._step(able[choice])
        return made

    async def _begin(self, scripts: Sequence[Script]) -> None:
        self.order.clear()
        shut = SHUT.format(actors=len(self.actors), gates=GATES)
        await self.controller.execute(shut)
        loop = asyncio.get_running_loop()
        for actor, script in zip(self.actors, scripts, strict=True):
            await actor.on.execute(
                f"SELECT setval('pg_temp.pgq_turn', 1, false); SET pgq.actor = {actor.number}"
            )
            actor.passed, actor.waited, actor.answer, actor.paused = 0, False, None, None
            actor.task = loop.create_task(script(actor))

    async def _step(self, actor: Actor) -> None:
        if actor.paused is not None:
            actor.paused.set_result(None)
            actor.paused = None
        else:
            actor.passed += 1
            await self.controller.execute(
                f"SELECT pg_advisory_unlock({actor.number}, {actor.passed})"
            )

    async def _quiet(self) -> bool:
        """Wait until nobody moves; False when everybody is done."""
        seen = 0
        while seen < 2:
            await asyncio.sleep(0)
            seen = seen + 1 if await self._nobody_moves() else 0
            # Who stands at a gate stays there; who waits for another must be seen to do so twice,
            # the second time after that other has come to rest.
            if all(actor.at_gate for actor in self.actors if actor.busy):
                seen *= 2
        self._raise()
        return any(actor.ready for actor in self.actors)

    async def _nobody_moves(self) -> bool:
        busy = [actor for actor in self.actors if actor.busy]
        if not busy:
            return True
        blockers = dict(await self.controller.fetch(WHO_WAITS, [actor.pid for actor in busy]))
        others = {actor.pid for actor in self.actors}
        for actor in busy:
            by = set(blockers[actor.pid])
            actor.at_gate = self.controller.get_server_pid() in by
            actor.waited = actor.waited or not by.isdisjoint(others)
        moving = any(actor.busy and not blockers[actor.pid] for actor in busy)
        stuck = not any(actor.ready for actor in self.actors)
        return not moving and not stuck  # a deadlock ends by itself, with an error

    def _raise(self) -> None:
        for actor in self.actors:
            if actor.task is not None and actor.task.done():
                actor.task.result()

    async def abandon(self) -> None:
        """Whatever is under way is undone."""
        await self.controller.execute("SELECT pg_advisory_unlock_all()")
        tasks = [actor.task for actor in self.actors if actor.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for actor in self.actors:
            await actor.on.execute("ROLLBACK")


@dataclass(frozen=True)
class Explored:
    """How many orders there were, and in how many of them somebody waited."""

    orders: int
    waits: int


async def explore(
    scheduler: Scheduler,
    prepare: Callable[[], Awaitable[Sequence[Script]]],
    check: Callable[[], Awaitable[None]],
) -> Explored:
    """Every order of these scripts. Raises Broken with the first order that breaks something."""
    choices: list[int] | None = []
    orders = waits = 0
    while choices is not None:
        scripts = await prepare()
        try:
            made = await scheduler.play(scripts, choices)
            await check()
        except BaseException as error:
            await scheduler.abandon()
            if isinstance(error, Exception):
                raise Broken(f"{error!r} after the order {scheduler.order}") from error
            raise
        orders += 1
        waits += any(actor.waited for actor in scheduler.actors)
        choices = following(made)
    return Explored(orders, waits)


def following(made: Sequence[tuple[int, int]]) -> list[int] | None:
    """The choices of the next run; None after the last."""
    taken = list(made)
    while taken and taken[-1][0] + 1 == taken[-1][1]:
        taken.pop()
    if not taken:
        return None
    return [choice for choice, _ in taken[:-1]] + [taken[-1][0] + 1]
