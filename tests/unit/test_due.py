"""Where promotion begins to read, and what may move that place."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from pgq_core.worker.claimer import DueMark

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def look(now: float, promoted: int = 0, settled: bool = False, first: Any = None) -> dict[str, Any]:
    """What a look says of deferred jobs."""
    return {"now": now, "promoted": promoted, "due_settled": settled, "due_first": first}


def test_the_first_look_reads_from_the_beginning() -> None:
    """A new worker promotes whatever has become due, however long ago."""
    assert DueMark().begin(100.0) == EPOCH


def test_looks_read_from_shortly_before_the_mark() -> None:
    """A look reads the last two seconds again, and once a second all from the floor."""
    due = DueMark()
    due.begin(100.0)
    due.learn(look(5000.0, promoted=10), xid=7)
    assert at(4997.9) < due.begin(100.5) <= at(4998.0)
    assert due.begin(101.0) == EPOCH


def test_a_bounded_promotion_does_not_move_the_mark() -> None:
    """When a look promoted all it may, the next one reads from the same place: there is more."""
    due = DueMark()
    due.begin(100.0)
    due.learn(look(5000.0, promoted=1000), xid=7)
    assert due.begin(100.1) == EPOCH


def test_the_floor_follows() -> None:
    """When everything due by a look has settled, a read from the floor moves the floor there."""
    due = DueMark()
    due.begin(100.0)
    due.learn(look(5000.0, promoted=10), xid=7)
    assert due.begin(101.0) == EPOCH
    due.learn(look(5001.0, settled=True), xid=None)
    assert at(4999.9) < due.floor <= at(5000.0)


def test_the_floor_stops_before_a_job_that_is_still_there() -> None:
    """A job somebody else is just promoting holds the floor: that may be rolled back."""
    due = DueMark()
    due.begin(100.0)
    due.learn(look(5000.0, promoted=10), xid=7)
    due.begin(101.0)
    due.learn(look(5001.0, settled=True, first=4000.0), xid=None)
    assert due.floor < at(4000.0)


def test_the_floor_moves_only_after_a_read_from_the_floor() -> None:
    """A look that read only from the mark says nothing of what lies below: the floor stays."""
    due = DueMark()
    due.begin(100.0)
    due.learn(look(5000.0, promoted=10), xid=7)
    # A job due at 4995 commits now, and this look does not see it: it began at 4998.
    assert due.begin(100.5) > at(4995.0)
    due.learn(look(5000.5, settled=True), xid=None)
    assert due.floor < at(4995.0)
    assert due.begin(101.5) < at(4995.0)
