"""One look at the database: claim jobs, and learn what else there is to know."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from pgq_core.models import Job, JobState
from pgq_core.queries.rows import headers_of
from pgq_core.registry import Registry
from pgq_core.worker.book import Book, Running
from pgq_core.worker.lane import END, Lane, Stretch
from pgq_core.worker.lanes import Lanes
from pgq_core.worker.line import Line

_BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RUNNING = JobState.RUNNING


@dataclass
class Look:
    """What a look said besides jobs. Times are seconds."""

    epoch: str
    due: float | None
    gone: list[int]
    stale: list[int]
    cancels: dict[int, str | None]
    directory: str
    paused: list[list[str]]
    alone: list[int]
    promoted: int
    limited: bool
    blocked: bool
    tick: float | None
    oldest: int
    following: int
    lease: int
    others: bool | None


@dataclass
class DueMark:
    """Where promotion begins to read: the same idea as marks and floors, over due times."""

    floor: datetime = _BEGINNING
    mark: datetime = _BEGINNING
    pair: tuple[datetime, int] | None = None
    swept: float = 0.0
    from_floor: bool = False

    def begin(self, now: float) -> datetime:
        """From the floor once a second, else from shortly before the mark."""
        self.from_floor = now - self.swept >= 1.0
        if self.from_floor:
            self.swept = now
            return self.floor
        return max(self.floor, self.mark - timedelta(seconds=2))

    def learn(self, look: dict[str, Any], xid: int | None) -> None:
        """Move mark and floor after a look; the floor only after one that began at the floor."""
        at = _BEGINNING + timedelta(seconds=look["now"]) - timedelta(milliseconds=1)
        if look["promoted"] < 1000:
            self.mark = at
        if self.pair is not None and look["due_settled"] and self.from_floor:
            first = look["due_first"]
            top = self.pair[0]
            if first is not None:
                top = min(top, _BEGINNING + timedelta(seconds=first) - timedelta(milliseconds=1))
            self.floor = max(self.floor, top)
            self.pair = None
        if self.pair is None and xid is not None and look["promoted"]:
            self.pair = (at, xid)


@dataclass
class Claimer:
    """Turns plans into claims, and what comes back into running attempts and better plans."""

    worker_id: int
    line: Line
    lanes: Lanes
    book: Book
    registry: Registry
    due: DueMark = field(default_factory=DueMark)
    epoch: str = ""
    below_floor: int = 0
    schedules: list[str] | None = None
    idle_ms: int = 3000

    def __post_init__(self) -> None:
        self._generation = 0

    def take_reconnected(self) -> bool:
        """Whether the line is another one than when we last asked."""
        changed = self.line.generation != self._generation
        self._generation = self.line.generation
        return changed

    async def claim(
        self,
        plan: Sequence[Stretch],
        count: int,
        *,
        now: float,
        look: bool = False,
        idle: bool | None = None,
    ) -> tuple[list[Running], Look | None]:
        """Claim up to `count` jobs along the plan; with `look`, say what else is going on.

        `idle`: whether producers should wake us from now on; None leaves it as it is.
        """
        token = secrets.randbits(62)
        floors, pair = self.lanes.floors_plan(), self.lanes.settling.oldest() or (0, 0)
        due_pair = self.due.pair
        limited = self.lanes.limited_lanes() if look else []
        rows = await self.line.call(
            "claim",
            worker=self.worker_id,
            token=token,
            count=max(count, 0),
            lanes=[s.lane.id for s in plan],
            starts=[s.start for s in plan],
            ends=[s.end for s in plan],
            caps=[self._cap(s.lane.entrypoint) for s in plan],
            single=[s.lane.id for s in plan if self._single(s.lane.entrypoint)],
            floor_lanes=[lane.id for lane in floors],
            floors=[lane.floor for lane in floors],
            settled=pair[0],
            settle_xid=pair[1],
            force_xid=look and not floors and (self.lanes.unswept or self.lanes.lagging),
            look=look,
            due_from=self.due.begin(now) if look else _BEGINNING,
            due_settle=due_pair[1] if due_pair else END,
            idle_ms=None if idle is None else self.idle_ms * idle,
            schedules=self.schedules,
            limited=[lane.id for lane in limited],
            limited_floors=[lane.floor for lane in limited],
        )
        status = json.loads(rows.pop()["status"])
        self._learn(plan, rows, 0 < count <= len(rows), status, pair)
        self.book.open(rows, token)
        return [self._attempt(row) for row in rows], self._look(status)

    async def claim_limited(
        self, count: int, plan: Sequence[Lane] | None = None
    ) -> tuple[list[Running], dict[str, Any]]:
        """Claim jobs under limits and keys, of these lanes or all; says when to come back."""
        lanes = self.lanes.limited_plan() if plan is None else plan
        token = secrets.randbits(62)
        rows = await self.line.call(
            "claim_limited",
            worker=self.worker_id,
            token=token,
            count=count,
            lanes=[lane.id for lane in lanes],
            floors=[lane.floor for lane in lanes],
            kinds=["plain" if lane.kind == "again" else lane.kind for lane in lanes],
            entrypoints=[lane.entrypoint for lane in lanes],
            caps=[self._cap(lane.entrypoint) for lane in lanes],
        )
        status: dict[str, Any] = json.loads(rows.pop()["status"])
        self.book.open(rows, token)
        return [self._attempt(row) for row in rows], status

    def _learn(
        self,
        plan: Sequence[Stretch],
        rows: list[Any],
        full: bool,
        status: dict[str, Any],
        pair: tuple[int, int],
    ) -> None:
        last, went_back = status["last"], status["last"] < self.lanes.last
        if went_back:  # a crash or a restore: what this claim was told to read is void, too
            self.lanes.forget()
        self.lanes.last = last
        if went_back:
            return
        taken: dict[int, int] = {}
        for row in rows:
            taken[row["lane_id"]] = max(row["position"], taken.get(row["lane_id"], 0))
        self.lanes.learn_claim(plan, taken, full, last)
        if status["floors"] is not None:
            self.lanes.learn_floors(pair, status["floors"])
        self.lanes.settling.note(last, status.get("xid"))

    def _look(self, status: dict[str, Any]) -> Look | None:
        raw = status["look"]
        if raw is None:
            return None
        self.due.learn(raw, status.get("xid"))
        cancels = {int(job): reason for job, reason in (raw["cancels"] or {}).items()}
        return Look(
            raw["epoch"], raw["due"], raw["gone"] or [], raw["stale"] or [], cancels,
            raw["lanes"] or "", raw["paused"] or [], raw["alone"] or [], raw["promoted"],
            raw["limited"], raw["blocked"], raw["tick"], raw["oldest"], raw["following"],
            raw["lease"], raw["others"],
        )  # fmt: skip

    def _cap(self, entrypoint: str) -> int:
        entry = self.registry.entrypoints.get(entrypoint)
        return entry.options.max_attempts if entry else 5

    def _single(self, entrypoint: str) -> bool:
        entry = self.registry.entrypoints.get(entrypoint)
        return entry is not None and entry.options.transactional

    def _attempt(self, row: Any) -> Running:
        (_, lease, lane, _, attempt, spent, crashes, cap, id_, created, run_at, timeout, priority,
         _, queue, entrypoint, unique, key, headers, payload) = row  # fmt: skip
        job = Job(
            id_, queue, entrypoint, priority, attempt, cap, payload or b"",
            headers_of(id_, headers) if headers else {}, created, run_at, _RUNNING, timeout, unique,
            key,
        )  # fmt: skip
        run = Running(job, self.book.leases[lease], lane, spent, crashes, cap)
        run.limited = key is not None or entrypoint in self.registry.limited
        return run
