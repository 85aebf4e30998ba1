"""Every verb of the core's `Queries`, on Django's own connection and without a loop."""

# ruff: noqa: ARG002  (the signatures are the core's)

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from pgq_core.errors import SchemaNewer, SchemaOutdated
from pgq_core.migrations import VERSION
from pgq_core.queries import Queries
from pgq_django import statements
from pgq_django.databases import database_of
from pgq_django.schema import schema_of

T = TypeVar("T")


class Verbs(Queries):
    """`at_once(Verbs("default").cancel([1]))`: in whatever transaction is open there."""

    def __init__(self, using: str | None = None) -> None:
        self.using = using or database_of()
        nobody: Any = None
        super().__init__(nobody, schema_of(self.using))

    async def call(self, name: str, on: Any = None, /, **values: Any) -> list[Any]:
        """Run a statement; nothing is waited for."""
        return [statements.Record.of(row) for row in statements.run(self.using, name, **values)]

    async def run_now(self, ids: Iterable[int]) -> dict[int, str]:
        """Make deferred jobs due; per id 'due', or the state that kept it from being so."""
        wanted = list(ids)
        found = await self.call("run_now", jobs=wanted)
        verdicts = {row["job_id"]: row["verdict"] for row in found}
        return {job: verdicts.get(job, "unknown") for job in wanted}

    async def discard(self, ids: Iterable[int]) -> dict[int, str]:
        """Delete jobs with their history; per id 'discarded', 'running' or 'unknown'."""
        wanted = list(ids)
        verdicts = await self.cancel(wanted, "discarded")
        ended = [job for job in wanted if verdicts[job] in ("cancelled", "finished")]
        await self.delete(ended)
        words = {"cancelled": "discarded", "finished": "discarded", "requested": "running"}
        return {job: words.get(verdicts[job], verdicts[job]) for job in wanted}

    async def check_version(self) -> None:
        """Raise SchemaMissing, SchemaOutdated or SchemaNewer unless the tables are current."""
        found = int((await self.call("version"))[0]["version"] or 0)
        if found < VERSION:
            raise SchemaOutdated(self.schema, found, VERSION)
        if found > VERSION:
            raise SchemaNewer(self.schema, found, VERSION)

    async def unserved(self) -> list[dict[str, Any]]:
        """Queues and entrypoints with jobs that no live worker takes."""
        return [row.dict() for row in await self.call("doctor_unserved")]

    async def states(self) -> dict[str, int]:
        """How many jobs stand where, without reading the finished ones."""
        row = (await self.call("waiting"))[0]
        return dict(row.dict())


def at_once(verb: Coroutine[Any, Any, T]) -> T:
    """The answer of a verb that never waits."""
    try:
        verb.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    verb.close()
    raise RuntimeError("this verb waits for something; it cannot be called without a loop")
