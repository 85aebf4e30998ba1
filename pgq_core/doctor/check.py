"""A check: one statement, and what its rows mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pgq_core.doctor.finding import Finding
from pgq_core.doctor.limits import Limits
from pgq_core.queries import Queries

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """What a check's statement has brought."""

    rows: Sequence[Row]
    schema: str
    limits: Limits


@dataclass(frozen=True)
class Check:
    """`doctor_<name>.sql`, the judge of its rows, and what it asks besides schema and limits."""

    name: str
    judge: Callable[[Seen], Iterable[Finding]]
    values: Mapping[str, Any] = field(default_factory=dict)

    async def run(self, queries: Queries, limits: Limits) -> list[Finding]:
        """Ask and judge. Raises what the database raises."""
        values = {"schema": queries.schema, **asdict(limits), **self.values}
        rows = await queries.call(f"doctor_{self.name}", **values)
        return list(self.judge(Seen([dict(row) for row in rows], queries.schema, limits)))
