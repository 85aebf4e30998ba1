"""Transactions on connections of their own, their statements in every order, ending either way.

``pytest -rP`` shows how many orders there were. How it is done: tests/sql/scheduler.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pgq_core.worker import lane
from tests.sql import marks
from tests.sql.marks import AtTheMark, LateClaim
from tests.sql.meeting import BOTH, EITHER, LATTER, meet
from tests.sql.pairs import (
    ClaimAndCancel,
    FinishAndRescue,
    FinishOfALostClaim,
    FinishRescueAndClaim,
    FinishTwice,
    Pair,
    ParkAndHandOver,
    PruneAndRetry,
    TwoClaims,
    TwoLimitedClaims,
)
from tests.sql.scheduler import following
from tests.support import Databases

pytestmark = pytest.mark.timeout(300)


async def in_every_order(
    databases: Databases,
    pair: type[Pair],
    ends: Sequence[Sequence[str]],
    at_least: int,
    **fields: Any,
) -> int:
    """Returns in how many orders somebody waited; there must have been as many orders as that."""
    found = await meet(databases, pair, ends, **fields)
    print(f"{pair.__name__} {fields}: {found.orders} orders, in {found.waits} of them one waits")  # noqa: T201
    assert found.orders >= at_least
    return found.waits


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a little late leaves the window soon."""
    monkeypatch.setattr(lane, "WINDOW", marks.WINDOW)


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
async def test_finish_and_rescue(databases: Databases, shut: bool) -> None:
    """A worker that writes outcomes while it is taken for dead: they count, or its jobs run again;
    never both, never neither; and nobody waits."""
    assert await in_every_order(databases, FinishAndRescue, EITHER, 900, shut=shut) == 0


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
async def test_finish_and_the_same_again(databases: Databases, shut: bool) -> None:
    """A flush that is sent again while the first is still at work is written once."""
    await in_every_order(databases, FinishTwice, LATTER, 80, shut=shut)


@pytest.mark.parametrize("shut", [True, False], ids=["last", "open"])
async def test_finish_rescue_and_claim(databases: Databases, shut: bool) -> None:
    """The same while a third worker claims what comes back: every job succeeds exactly once."""
    found = in_every_order(databases, FinishRescueAndClaim, BOTH, 300, shut=shut, actors=3)
    assert await found == 0


@pytest.mark.parametrize("worker", [1, 2], ids=["same worker", "another"])
async def test_finish_of_a_lost_claim(databases: Databases, worker: int) -> None:
    """A worker whose claim was lost in a crash of the server, and that does not know, changes
    nothing, though the job runs again as the same attempt under a lease of the same number."""
    await in_every_order(databases, FinishOfALostClaim, EITHER, 200, worker=worker)


async def test_claim_and_cancel(databases: Databases) -> None:
    """A job that is claimed while it is cancelled is cancelled, or runs and is told to stop."""
    assert await in_every_order(databases, ClaimAndCancel, EITHER, 1000) > 0


async def test_two_claims(databases: Databases) -> None:
    """Two workers that claim at once never get the same job, and never wait for each other."""
    assert await in_every_order(databases, TwoClaims, LATTER, 100) == 0


@pytest.mark.usefixtures("small_window")
async def test_enqueue_and_claim_at_the_mark(databases: Databases) -> None:
    """A job whose position lies behind a claimer's mark when it commits is found all the same, and
    no floor is ever above it."""
    assert await in_every_order(databases, AtTheMark, LATTER, 300) == 0


@pytest.mark.usefixtures("small_window")
async def test_a_claim_undone_behind_the_mark(databases: Databases) -> None:
    """A job that another claimer held and gave back is found, and no floor has passed it."""
    assert await in_every_order(databases, LateClaim, LATTER, 300) == 0


async def test_park_and_hand_over(databases: Databases) -> None:
    """Whoever is parked while the holder of the key ends is handed the key at once."""
    assert await in_every_order(databases, ParkAndHandOver, EITHER, 200) > 0


async def test_two_limited_claims(databases: Databases) -> None:
    """Two workers that claim jobs of one key at once start one, and never wait for each other."""
    assert await in_every_order(databases, TwoLimitedClaims, LATTER, 300) == 0


async def test_prune_and_retry(databases: Databases) -> None:
    """A job that is put back while it is thrown away is gone, or runs; it never loses its body."""
    assert await in_every_order(databases, PruneAndRetry, EITHER, 100) > 0


def test_every_order_is_tried_once() -> None:
    """Of two actors with two and three steps there are ten orders."""
    steps, seen, choices = (2, 3), [], []
    while choices is not None:
        made, left = [], list(steps)
        while any(left):
            able = [actor for actor in (0, 1) if left[actor]]
            choice = choices[len(made)] if len(made) < len(choices) else 0
            made.append((choice, len(able)))
            left[able[choice]] -= 1
        seen.append(tuple(made))
        choices = following(made)
    assert len(seen) == len(set(seen)) == 10
