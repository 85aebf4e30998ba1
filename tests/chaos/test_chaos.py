"""The short form: every fault, drawn from a seed."""

from __future__ import annotations

import pytest

from tests.chaos import report
from tests.chaos.faults import FAULTS
from tests.chaos.performance import perform

SECONDS = 40
SEED = 20


@pytest.mark.timeout(420)
async def test_nothing_is_lost_whatever_breaks() -> None:
    """Kills, zombies, cut connections and restarts lose no job and count none twice."""
    result = await perform(SECONDS, SEED, [fault for fault in FAULTS if fault.weight])
    told = f"seed {SEED}\n{report.text(result)}"
    assert result.verdict.clean, told
    assert result.verdict.committed > 100, told
    assert result.deaths > 0, told
