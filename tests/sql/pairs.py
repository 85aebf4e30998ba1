"""The transactions that meet: what each does, and what must be true in whatever order they go.

`ends`: how each actor's transaction ends. `functions`: where they stop between two statements.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg

from tests.flow import steps
from tests.sql import accounts, verbs
from tests.sql.scheduler import Actor, Broken, Script
from tests.sql.verbs import ANY_AGE, KEEP, UNDO, Taken

TABLES = (
    "jobs", "ready", "deferred", "blocked", "leases", "attempts", "locks", "holders", "cancels",
    "workers",
)  # fmt: skip
EMPTY = ";".join(f"DELETE FROM pgq_{table}" for table in TABLES)


@dataclass
class Pair(ABC):
    """Actors, each on a connection of its own; `main` prepares and looks."""

    main: Any
    ends: Sequence[str] = (KEEP, KEEP)
    functions: ClassVar[tuple[str, ...]] = ()
    actors: list[Actor] = field(default_factory=list)

    async def prepare(self) -> Sequence[Script]:
        """Begin anew."""
        await self.main.execute(EMPTY)
        return await self.scripts()

    @abstractmethod
    async def scripts(self) -> Sequence[Script]:
        """What the actors do this time."""

    @abstractmethod
    async def check(self) -> None:
        """Raise Broken unless all is well."""

    def kept(self, number: int) -> Any:
        """What this actor was answered, if it committed."""
        return self.actors[number].answer if self.ends[number] == KEEP else None

    async def claimed(self, count: int = 1, worker: int = 1, **fields: Any) -> list[Taken]:
        """New jobs that this worker runs."""
        await verbs.enqueue(self.main, count=count, **fields)
        return (await verbs.claim(self.main, count, worker=worker)).jobs

    async def run_the_rest(self) -> None:
        """Another worker runs what is ready; then every job has succeeded, once."""
        if rest := (await verbs.claim(self.main, worker=9)).jobs:
            expect(await verbs.finish(self.main, rest) == {}, "its own outcome was refused")
        for id_, outcomes in (await accounts.balanced(self.main)).items():
            expect(outcomes[-1] == "succeeded", f"job {id_} did not succeed: {outcomes}")


def expect(holds: bool, otherwise: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(otherwise)


@dataclass
class FinishAndRescue(Pair):
    """A worker writes outcomes, of some or all jobs of its lease, while it is taken for dead."""

    shut: bool = True
    functions = ("pgq_finish", "pgq_rescue")

    async def scripts(self) -> Sequence[Script]:
        self.taken = await self.claimed(2)
        self.batch = self.taken if self.shut else self.taken[:1]

        async def finish(me: Actor) -> None:
            await me.transact(verbs.finish(me.on, self.batch, shut=self.shut), self.ends[0])

        async def rescue(me: Actor) -> None:
            await me.transact(verbs.rescue(me.on, 1), self.ends[1])

        return finish, rescue

    async def check(self) -> None:
        history = await accounts.balanced(self.main)
        refused, back = self.kept(0), self.kept(1) or {}
        for job in self.batch:
            if refused == {}:
                expect(history[job.job_id] == ["succeeded"], "an accepted outcome is gone")
                expect(job.job_id not in back, "a finished job was given back")
            elif refused is not None:
                expect(history[job.job_id] != ["succeeded"], "a refused outcome was written")
        await verbs.rescue(self.main, 1)
        answer = await verbs.finish(self.main, self.taken, "failed")
        expect(set(answer.values()) <= {"gone"}, "an outcome was accepted without a lease")
        await self.run_the_rest()


@dataclass
class FinishTwice(Pair):
    """A flush is sent again while the one whose answer was lost is still at work."""

    shut: bool = True
    functions = ("pgq_finish", "pgq_put_back")

    async def scripts(self) -> Sequence[Script]:
        self.taken = await self.claimed(2)
        self.batch = self.taken if self.shut else self.taken[:1]

        async def first(me: Actor) -> None:
            await self.send(me, self.ends[0])

        async def again(me: Actor) -> None:
            await self.send(me, self.ends[1])

        return first, again

    async def send(self, me: Actor, end: str) -> None:
        """Once more, when the other one has been quicker."""
        verb = verbs.finish(me.on, self.batch, "retry", shut=self.shut)
        try:
            await me.transact(verb, end)
        except asyncpg.UniqueViolationError:
            await me.on.execute(UNDO)
            await self.send(me, end)

    async def check(self) -> None:
        history = await accounts.balanced(self.main)
        for number in (0, 1):
            refused = self.kept(number) or {}
            expect(set(refused.values()) <= {"busy"}, f"it was refused: {refused}")
        for job in self.batch:
            expect(history[job.job_id] in ([], ["retry"]), f"written twice: {history}")
        expect(await verbs.finish(self.main, self.taken, "retry") == {}, "it was refused")
        await self.run_the_rest()


@dataclass
class FinishRescueAndClaim(FinishAndRescue):
    """The same, while a third worker claims whatever comes back and finishes it."""

    functions = ("pgq_rescue",)

    async def scripts(self) -> Sequence[Script]:
        finish, rescue = await super().scripts()

        async def another(me: Actor) -> None:
            await me.pause()
            taken = (await verbs.claim(me.on, worker=2)).jobs
            await me.pause()
            if taken:
                expect(await verbs.finish(me.on, taken) == {}, "its own outcome was refused")

        return finish, rescue, another

    async def check(self) -> None:
        await verbs.rescue(self.main, 1)
        refused, history = self.kept(0), await accounts.balanced(self.main)
        for job in self.batch if refused == {} else []:
            expect(history[job.job_id] == ["succeeded"], "an accepted outcome is gone")
        await self.run_the_rest()


@dataclass
class FinishOfALostClaim(Pair):
    """A claim was lost in a crash of the server; its worker does not know, and the job runs again,
    as the same attempt, perhaps on the same worker under a lease of the same number."""

    worker: int = 1
    functions = ("pgq_finish",)

    async def scripts(self) -> Sequence[Script]:
        await self.main.execute("SELECT setval('pgq_lease_ids', 100)")
        async with verbs.held(self.main, end=UNDO):
            self.lost = await self.claimed(2)
        ids = [job.job_id for job in self.lost]
        await self.main.execute(
            "INSERT INTO pgq_jobs (id, entrypoint) SELECT unnest($1::bigint []), 'work'", ids
        )
        await self.main.execute("SELECT setval('pgq_lease_ids', 100)")

        async def stale(me: Actor) -> None:
            await me.transact(verbs.finish(me.on, self.lost, "failed"), self.ends[0])

        async def live(me: Actor) -> None:
            taken = (await verbs.claim(me.on, worker=self.worker)).jobs
            await me.transact(verbs.finish(me.on, taken), self.ends[1])

        return stale, live

    async def check(self) -> None:
        await verbs.rescue(self.main, self.worker)
        history = await accounts.balanced(self.main)
        accepted = any("failed" in outcomes for outcomes in history.values())
        expect(not accepted, "an outcome was accepted without a lease")
        await self.run_the_rest()


@dataclass
class ClaimAndCancel(Pair):
    """A job is claimed while somebody cancels it."""

    functions = ("pgq_claim", "pgq_cancel_waiting", "pgq_cancel")

    async def scripts(self) -> Sequence[Script]:
        self.jobs = await verbs.enqueue(self.main, count=2)

        async def claim(me: Actor) -> None:
            await me.transact(verbs.claim(me.on), self.ends[0])

        async def cancel(me: Actor) -> None:
            await me.transact(verbs.cancel(me.on, self.jobs[0]), self.ends[1])

        return claim, cancel

    async def check(self) -> None:
        history = await accounts.balanced(self.main)
        claim, verdict = self.kept(0), self.kept(1)
        job, other = self.jobs
        expect(claim is None or other in claim.ids, "the other job was not claimed")
        runs = claim is not None and job in claim.ids
        if verdict is not None:
            wished = await self.main.fetchval("SELECT count(*) FROM pgq_cancels")
            expect(verdict[job] == ("requested" if runs else "cancelled"), f"answered {verdict}")
            expect(bool(wished) is runs, "the wish was lost")
            expect((history[job] == ["cancelled"]) is not runs, "cancelled, and running")


@dataclass
class TwoClaims(Pair):
    """Two workers claim at once."""

    functions = ("pgq_claim",)

    async def scripts(self) -> Sequence[Script]:
        self.jobs = await verbs.enqueue(self.main, count=3)

        async def one(me: Actor) -> None:
            await me.transact(verbs.claim(me.on, 2, worker=1), self.ends[0])

        async def two(me: Actor) -> None:
            await me.transact(verbs.claim(me.on, 2, worker=2), self.ends[1])

        return one, two

    async def check(self) -> None:
        await accounts.balanced(self.main)
        expect(not any(actor.waited for actor in self.actors), "a claim waited for another")
        taken = [id_ for number in (0, 1) for id_ in getattr(self.kept(number), "ids", [])]
        expect(len(taken) == len(set(taken)), f"a job has two holders: {taken}")
        for worker in (1, 2):
            await verbs.rescue(self.main, worker)
        await self.run_the_rest()


@dataclass
class ParkAndHandOver(Pair):
    """The holder of a key ends while others are parked behind it."""

    functions = ("pgq_claim_limited", "pgq_sort_keyed", "pgq_release", "pgq_hand_over")

    async def scripts(self) -> Sequence[Script]:
        await steps.keyed(self.main, ["key"] * 3)
        (self.first,) = (await steps.claim_limited(self.main, 1)).jobs
        await self.main.execute(
            # As they were before anybody looked behind the key.
            "WITH b AS (DELETE FROM pgq_blocked RETURNING *) INSERT INTO pgq_ready "
            "SELECT lane_id, position, job_id, attempt, spent, crashes FROM b"
        )

        async def park(me: Actor) -> None:
            await me.transact(steps.claim_limited(me.on, 2, worker=2), self.ends[0])

        async def finish(me: Actor) -> None:
            verb = verbs.finish(me.on, self.first, limited=True)
            await me.transact(verb, self.ends[1])

        return park, finish

    async def check(self) -> None:
        await accounts.balanced(self.main)
        await accounts.fair(self.main)
        if self.ends[1] != KEEP:
            await steps.finish(self.main, self.first)
        for _ in range(6):
            await accounts.fair(self.main)
            await verbs.rescue(self.main, 2)
            for job in (await steps.claim_limited(self.main, worker=3)).jobs:
                await steps.finish(self.main, job)
        await self.run_the_rest()


@dataclass
class TwoLimitedClaims(Pair):
    """Two workers claim jobs of one key, in lanes of their own, at once."""

    functions = ("pgq_claim_limited", "pgq_sort_keyed")

    async def scripts(self) -> Sequence[Script]:
        self.jobs = await steps.keyed(self.main, ["key"] * 2, priorities=[1, 5])

        async def one(me: Actor) -> None:
            await me.transact(steps.claim_limited(me.on, 1, worker=1), self.ends[0])

        async def two(me: Actor) -> None:
            await me.transact(steps.claim_limited(me.on, 1, worker=2), self.ends[1])

        return one, two

    async def check(self) -> None:
        await accounts.balanced(self.main)
        await accounts.fair(self.main)


@dataclass
class PruneAndRetry(Pair):
    """An old job is put back while it is being thrown away."""

    functions = ("pgq_prune", "pgq_retry")

    async def scripts(self) -> Sequence[Script]:
        (taken,) = await self.claimed()
        await verbs.finish(self.main, taken, "failed")
        self.job = taken.job_id

        async def prune(me: Actor) -> None:
            verb = verbs.call(me.on, "prune", from_id=0, limit=10, **ANY_AGE)
            await me.transact(verb, self.ends[0])

        async def retry(me: Actor) -> None:
            await me.transact(verbs.retry(me.on, self.job), self.ends[1])

        return prune, retry

    async def check(self) -> None:
        history = await accounts.balanced(self.main)
        pruned, verdict = self.kept(0), self.kept(1)
        gone = pruned is not None and pruned[0]["pruned"] == 1
        expect(gone is (self.job not in history), "prune said something else")
        if verdict is not None:
            expect(verdict[self.job] == ("unknown" if gone else "retried"), f"answered {verdict}")
        if verdict is not None and not gone:
            await self.run_the_rest()
