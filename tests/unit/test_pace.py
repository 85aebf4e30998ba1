"""When a worker looks at the database again."""

from __future__ import annotations

import math
import time

import pytest

from pgq_core.worker.pace import BUSY_LOOK, CROWD, CROWD_LOOK, FIRST_LOOK, Pace

HOUR = 3600.0


def after_claim(pace: Pace, got: int, *, look: bool = False, full: bool = False) -> float:
    """One claim that brought so many; the time before it."""
    now = time.monotonic()
    pace.claiming(100, look)
    pace.claimed(got, 100, look, full)
    return now


def test_a_crowd_is_let_gather_whoever_calls() -> None:
    """While jobs come in crowds, wake-ups bring no claim earlier than the next is due anyway."""
    pace = Pace(0.75)
    now = after_claim(pace, CROWD)
    pace.hungry = True
    assert not pace.reason(now)
    assert not pace.claim_due(now)
    assert pace.next_reason(full=False) <= now + CROWD_LOOK + 0.1
    assert pace.claim_due(now + HOUR)


@pytest.mark.parametrize(
    ("got", "times"), [(CROWD, 1), (2 * CROWD - 1, 1), (2 * CROWD, 2), (500, 2)]
)
def test_a_bigger_crowd_gathers_longer(got: int, times: int) -> None:
    """A claim waits for its crowd, and twice as long for a big one, which shares the price."""
    pace = Pace(0.75)
    before = after_claim(pace, got)
    wait = times * CROWD_LOOK
    assert before + wait <= pace.crowd_at <= time.monotonic() + wait


def test_looks_ride_along_with_claims_of_a_crowd() -> None:
    """In a crowd a look waits for the claim that is due, and not every claim is a look."""
    pace = Pace(0.75)
    after_claim(pace, CROWD)
    after_claim(pace, CROWD, look=True)
    assert pace.next_look > pace.crowd_at
    pace.next_look = 0.0
    assert not pace.look_due(time.monotonic())
    assert pace.look_due(pace.crowd_at)


def test_the_first_claim_of_a_crowd_is_followed_by_a_look() -> None:
    """When a crowd begins, the next claim also tells producers that nobody need be woken."""
    pace = Pace(0.75)
    now = after_claim(pace, CROWD)
    assert pace.next_look <= time.monotonic() + CROWD_LOOK < now + BUSY_LOOK


def test_a_small_claim_ends_the_crowd() -> None:
    """When the crowd is over, the worker looks soon, and tells producers that it may be woken."""
    pace = Pace(0.75)
    after_claim(pace, CROWD)
    after_claim(pace, CROWD - 1)
    assert not pace.crowd
    assert math.isinf(pace.crowd_at)
    assert pace.next_look <= time.monotonic() + 1.4 * FIRST_LOOK
    pace.hungry = True
    assert pace.claim_due(time.monotonic())


def test_a_backlog_is_claimed_without_any_pause() -> None:
    """A claim that comes back full is followed by another at once."""
    pace = Pace(0.75, backlog=True)
    after_claim(pace, 100, full=True)
    assert pace.claim_due(time.monotonic())


@pytest.mark.parametrize("full", [True, False])
def test_a_full_worker_waits_for_a_look_alone(full: bool) -> None:
    """Without a free slot nothing but a look is due; with one, limits and crowds are, too."""
    pace = Pace(0.75, crowd_at=3.0, limited_at=2.0, next_look=5.0)
    assert pace.next_reason(full) == (5.0 if full else 2.0)


def test_trouble_lets_nothing_gather() -> None:
    """After trouble, or when something has come to any lane, the worker claims and looks at once."""
    pace = Pace(0.75)
    after_claim(pace, CROWD)
    pace.at_once()
    now = time.monotonic()
    assert pace.claim_due(now)
    assert pace.look_due(now)
