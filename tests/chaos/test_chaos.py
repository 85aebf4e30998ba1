"""The short form: half a minute of faults drawn from a fixed seed."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import perform


@pytest.mark.timeout(300)
async def test_nothing_is_lost_whatever_breaks() -> None:
    """Kills, zombies, cut connections and restarts lose no job and count none twice."""
    verdict, stage = await perform(25, seed=20)
    assert verdict.clean, f"{verdict.lines()}\n{stage.drawn}"
    assert verdict.committed > 100
